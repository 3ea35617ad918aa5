"""What may be said of an error that nobody foresaw: where it was, since its text may name somebody."""

from __future__ import annotations

import traceback
from pathlib import Path


def kind_and_place(error: BaseException) -> str:
    """Return the type of an error, and the file and line that raised it."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
