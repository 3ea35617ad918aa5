"""From what a user names to a source."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

from agg2exp_core.errors import UsageError
from agg2exp_core.intake.sources import FolderSource, S3Source, Source


def open_source(source: str, n_days: int, until: date, body_part: str | None = None) -> Source:
    """Return the source of scans that a text names.

    Parameters
    ----------
    source : str
        A folder, ``s3://bucket/prefix``, or the ``http`` address of a DICOMweb service.
    n_days : int
        Of a PACS: days of the studies, `until` the last of them.
    until : date
        Of a PACS: the last day.
    body_part : str, optional
        Of a PACS: only series of it.

    Raises
    ------
    UsageError
        If there is no such folder, the address holds a password, or the DICOMweb client is not installed.
    """
    if source.startswith("s3://"):
        return S3Source(source)
    if not source.startswith(("http://", "https://")):
        return FolderSource(Path(source))
    try:
        from agg2exp_core.intake.pacs import PacsSource, Query
    except ModuleNotFoundError as error:
        raise UsageError(
            source,
            got=f"a DICOMweb service, for which {error.name} is not installed",
            allowed="an installation with the extra dicom",
            remedy="pip install agg2exp[dicom]",
        ) from None
    return PacsSource(source, Query(until - timedelta(days=n_days - 1), until, body_part=body_part))
