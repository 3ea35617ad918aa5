"""Results for other tools: NIfTI and DICOM in the scan's own space, tables, a PACS."""
