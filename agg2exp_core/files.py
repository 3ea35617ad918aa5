"""Files for people: there complete or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agg2exp_core.errors import UsageError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Have a place beside a file to write to; what is written there takes the file's name at the end.

    Parameters
    ----------
    path : Path
        The file; one that is there is replaced.

    Raises
    ------
    UsageError
        If it cannot be written.
    """
    partial = path.with_name(f".{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        raise UsageError(
            path,
            got=f"a file that cannot be written ({error.strerror or error})",
            allowed="a writable folder with room left",
            remedy="choose another output",
        ) from error
    finally:
        if path.parent.is_dir():
            partial.unlink(missing_ok=True)
