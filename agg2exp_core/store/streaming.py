"""Arrays that are written plane by plane, in a thread of their own, and appear once they are complete."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agg2exp_core.errors import StoreError
from agg2exp_core.store.half import UNIT_PLANES
from agg2exp_core.store.hidden import HiddenArray
from agg2exp_core.store.root import Root

_MOST_WAITING = 4
"""Writes that wait while the caller computes on; each holds `UNIT_PLANES` planes of a class."""


class WriteQueue:
    """One thread that writes, in order, while the caller computes. A context manager."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="agg2exp-store")
        self._waiting: deque[Future[None]] = deque()

    def submit(self, work: Callable[[], None]) -> None:
        """Hand over work; where much is waiting, wait for the oldest first, and raise what it raised."""
        while len(self._waiting) >= _MOST_WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(work))

    def drain(self) -> None:
        """Wait until everything is written; raise what went wrong."""
        while self._waiting:
            self._waiting.popleft().result()

    def __enter__(self) -> WriteQueue:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True, cancel_futures=error is not None)
        if error is None:
            self.drain()


class PlaneWriter:
    """Writes an array ``[X, Y, Z]`` or ``[C, X, Y, Z]`` whose planes come in order.

    Whatever the pieces, the stored bytes are the same. Without `finish` nothing is ever visible.

    Parameters
    ----------
    root : Root
        The store's root.
    path : str
        Of the array, relative to the root.
    shape : tuple of int
        Of the whole array.
    dims : tuple of str
        Names of its dimensions.
    identity : str
        Kept under "agg2exp".
    queue : WriteQueue
        Who writes.
    dtype : {"float32", "float16"}
        How values are stored.
    """

    def __init__(
        self,
        root: Root,
        path: str,
        shape: tuple[int, ...],
        dims: tuple[str, ...],
        identity: str,
        queue: WriteQueue,
        dtype: str = "float32",
    ) -> None:
        self._array = HiddenArray(root, path, shape, dims, identity, dtype)
        self._queue = queue
        self._n_planes = shape[-3]
        n_channels = shape[0] if len(shape) == 4 else 1
        self._digests = [hashlib.sha256() for _ in range(n_channels)]
        self._n_done: int = 0
        self._pieces: list[NDArray[np.float32]] = []  # of the planes that fill no chunk yet
        self._shape, self._where = shape, f"{root.uri}/{path}"

    def append(self, values: NDArray[np.floating[Any]]) -> None:
        """Take the next planes ``[n, Y, Z]`` or ``[C, n, Y, Z]``; they are copied.

        Raises
        ------
        StoreError
            If planes do not fit, or what was handed over before could not be written.
        """
        expected = (*self._shape[:-3], values.shape[-3], *self._shape[-2:])
        if values.shape != expected or self._n_taken + values.shape[-3] > self._n_planes:
            raise StoreError(
                self._where,
                got=f"planes {list(values.shape)} after {self._n_taken} of {self._n_planes}",
                allowed=f"the next planes of {list(self._shape)}",
                remedy="append each plane once, in order",
            )
        while values.shape[-3]:
            n = min(UNIT_PLANES - self._n_buffered, values.shape[-3])
            self._pieces.append(values[..., :n, :, :].astype(np.float32))
            values = values[..., n:, :, :]
            if self._n_taken % UNIT_PLANES == 0 or self._n_taken == self._n_planes:
                self._hand_over()

    @property
    def _n_taken(self) -> int:
        return self._n_done + self._n_buffered

    @property
    def _n_buffered(self) -> int:
        return sum(int(piece.shape[-3]) for piece in self._pieces)

    def _hand_over(self) -> None:
        block = self._pieces[0] if len(self._pieces) == 1 else np.concatenate(self._pieces, axis=-3)
        start, self._n_done, self._pieces = self._n_done, self._n_taken, []

        def write() -> None:
            kept = self._array.write(start, block)
            for digest, channel in zip(self._digests, kept.reshape(-1, *kept.shape[-3:]), strict=True):
                digest.update(np.ascontiguousarray(channel).data)

        self._queue.submit(write)

    def finish(self, info: Mapping[str, Any]) -> dict[str, Any]:
        """Make the array visible; return what is kept under "agg2exp".

        Parameters
        ----------
        info : mapping
            What is told about the result, JSON-ready.

        Raises
        ------
        StoreError
            If planes are missing, or something could not be written.
        """
        if self._n_done != self._n_planes:
            raise StoreError(
                self._where,
                got=f"{self._n_taken} planes",
                allowed=f"{self._n_planes}",
                remedy="append all planes before the end",
            )
        self._queue.drain()
        return self._array.publish(info, [digest.digest() for digest in self._digests])
