"""Intake: what lies in a folder, an S3 prefix or a PACS becomes de-identified scans, each imported once.

Nothing that is written, returned or raised here names a patient, a file or an address of a series.
"""
