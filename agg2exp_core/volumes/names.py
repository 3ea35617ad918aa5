"""Names that may stand in a path and as a key of a Zarr store."""

from __future__ import annotations

import re

from agg2exp_core.errors import UsageError

_ALLOWED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def safe_name(text: str) -> str:
    """Return `text` with ``_`` for what is outside ``[A-Za-z0-9._-]`` and for a leading ``.`` or ``-``."""
    return re.sub(r"[^A-Za-z0-9._-]|^[.-]", "_", text) or "_"


def check_scan_id(scan_id: str) -> str:
    """Return a scan id that the user chose.

    Raises
    ------
    UsageError
        If it cannot be a key of the store.
    """
    if not _ALLOWED.fullmatch(scan_id):
        raise UsageError(
            "--scan-id",
            got=f"{scan_id!r}",
            allowed="letters, digits, '.', '_' and '-', a letter or digit first",
            remedy=f"try {safe_name(scan_id).lstrip('_') or 'scan'}",
        )
    return scan_id
