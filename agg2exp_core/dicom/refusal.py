"""Why a series is not taken, and how its values may be quoted."""

from __future__ import annotations

import re

from agg2exp_core.errors import ScanError


class NotWantedError(ScanError):
    """A file or series that is whole, and not what is asked for: a localizer, for one."""


class LaterError(ScanError):
    """A file or series that may become usable without a change to it."""


def term(value: str) -> str:
    """Return a defined term of DICOM for a message; what may be anything else is not quoted."""
    if not value:
        return "nothing"
    return value if re.fullmatch(r"[A-Z0-9_ ]{1,16}", value) else "something else"
