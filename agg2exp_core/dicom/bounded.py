"""A file that is never asked for more than it holds."""

from __future__ import annotations

import io
from pathlib import Path


class BoundedReader(io.BufferedReader):
    """A file opened for reading, in which a damaged length costs no memory.

    A plain file makes room for all that it is asked for, and an element of a damaged data set may claim 4 GB.

    Parameters
    ----------
    path : Path
        The file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._n_bytes = path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """Return at most `size` bytes, and no more than are left."""
        left = max(self._n_bytes - self.tell(), 0)
        return super().read(left if size is None or size < 0 else min(size, left))
