"""Names that may stand in a path and as a key of a Zarr store."""

from __future__ import annotations

import hashlib
import re

from agg2exp_core.errors import UsageError

LONGEST = 80
"""Letters of a name; with what is put before and after it, a file system takes it."""

_ALLOWED = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{LONGEST - 1}}}")


def safe_name(text: str) -> str:
    """Return `text` with ``_`` for what is outside ``[A-Za-z0-9._-]`` and for a leading ``.`` or ``-``.

    One that is too long ends in a hash of the whole in place of the rest.
    """
    name = re.sub(r"^_{2,}", "_", re.sub(r"[^A-Za-z0-9._-]|^[.-]", "_", text)) or "_"
    if len(name) <= LONGEST:
        return name
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]
    return f"{name[: LONGEST - 17]}-{digest}"


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
            allowed=f"1 to {LONGEST} letters, digits, '.', '_' and '-', a letter or digit first",
            remedy=f"try {safe_name(scan_id).lstrip('_.-') or 'scan'}",
        )
    return scan_id
