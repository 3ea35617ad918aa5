"""From what a user names to a source."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import cast

from agg2exp_core.errors import UsageError
from agg2exp_core.intake.sources import FolderSource, S3Source, Source
from agg2exp_core.references import find


def open_source(source: str, n_days: int, until: date, body_part: str | None = None) -> Source:
    """Return the source of scans that a text names.

    Parameters
    ----------
    source : str
        A folder, ``s3://bucket/prefix``, the ``http`` address of a DICOMweb service, or a user's own:
        ``module:attribute`` of what is called without arguments and returns a `Source`.
    n_days : int
        Of a PACS: days of the studies, `until` the last of them.
    until : date
        Of a PACS: the last day.
    body_part : str, optional
        Of a PACS: only series of it.

    Raises
    ------
    UsageError
        If there is no such folder, the address is none or holds a password, the DICOMweb client is not
        installed, or a user's own is no source.
    """
    scheme, separator, rest = source.partition("://")
    if separator and (scheme not in ("s3", "http", "https") or not rest.strip("/")):
        raise UsageError(
            "SOURCE",
            got=f"{scheme}://" + ("…" if rest else ""),
            allowed="a folder, s3://bucket/prefix, or the http:// or https:// address of a DICOMweb service",
            remedy="give one of these",
        )
    if scheme == "s3" and separator:
        return S3Source(source)
    if not separator:
        is_own = ":" in source and not Path(source).exists()
        return _own_source(source) if is_own else FolderSource(Path(source))
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


def _own_source(reference: str) -> Source:
    found = find("source", reference)
    source = found() if callable(found) else found
    if not all(callable(getattr(source, name, None)) for name in ("listing", "fetch")):
        raise UsageError(
            "source",
            got=f"{reference!r}, which gives a {type(source).__name__}",
            allowed="what returns an object with listing() and fetch(unit)",
            remedy="write it so",
        )
    return cast(Source, source)
