"""Files that are there complete or not at all: the one way in which they are written."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agg2exp_core.errors import UsageError


@contextmanager
def whole_file(path: Path, *, make_folder: bool = False) -> Iterator[Path]:
    """Have a place beside a file to write to; once that is on the disk, it takes the file's name.

    Parameters
    ----------
    path : Path
        The file; one that is there is replaced.
    make_folder : bool
        Make its folder where there is none.

    Raises
    ------
    UsageError
        If it cannot be written.
    """
    partial = path.with_name(f".{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with partial.open("rb") as file:  # else a machine that stops may keep the name without the content
            os.fsync(file.fileno())
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
