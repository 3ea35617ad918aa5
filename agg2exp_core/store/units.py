"""Attributions of one class: what is kept of one, and how it is written, planes as they are computed."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agg2exp_core.errors import StoreError
from agg2exp_core.release import code_version
from agg2exp_core.store.keys import json_ready, now
from agg2exp_core.store.nodes import SCALES, UNIT_PLANES, combined_checksum, decoded, encoded
from agg2exp_core.store.ome import IMAGE_AXES
from agg2exp_core.store.root import Root
from agg2exp_core.store.writer import HiddenArray

DROPPED = "dropped"
"""What sums tell about voxels that retention dropped: when (`at`), when they were `finished`, `checksum`."""
MADE_BY = "made_by"
"""What a result tells of the code that made it: release and commit."""
_MOST_WAITING = 4
"""Writes that wait while the caller computes on; each holds `UNIT_PLANES` planes of a class."""


@dataclass(frozen=True)
class Unit:
    """A finished attribution of one class: what exists is complete.

    Parameters
    ----------
    identity : str
        Of the result (see `agg2exp_core.store.identity`).
    checksum : str
        SHA-256 of the float32 bytes in C order; of several channels, that of the channels' digests.
    info : mapping
        What the method says about its result.
    shape : tuple of int
        ``(X, Y, Z)``, or ``(C, X, Y, Z)`` for several channels.
    finished : str or None
        When, as ISO 8601 in UTC; no part of what is compared. None for sums.
    made_by : str or None
        Release and commit of the code (see `agg2exp_core.release`); no part of what is compared. None where
        release 0.1.0 made it.
    """

    identity: str
    checksum: str
    info: Mapping[str, Any]
    shape: tuple[int, ...]
    finished: str | None = field(default=None, compare=False)
    made_by: str | None = field(default=None, compare=False)

    @property
    def dropped_at(self) -> str | None:
        """Of sums: when retention dropped the voxels that they are of; None if none were kept ever."""
        return self.info[DROPPED]["at"] if DROPPED in self.info else None

    @classmethod
    def of(cls, own: Mapping[str, Any], shape: Sequence[int]) -> Unit:
        """Return the unit from what is kept of it."""
        told = own["identity"], own["checksum"], own["info"], tuple(shape)
        return cls(*told, finished=own.get("finished"), made_by=own.get(MADE_BY))


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


class UnitWriter:
    """Writes an attribution ``[X, Y, Z]`` or ``[C, X, Y, Z]`` whose planes come in order.

    Whatever the pieces, the stored bytes are the same. Without `finish` nothing is ever visible. Made by
    `ScanStore.unit_writer`, whose parameters it takes, and the path of the array under the root.
    """

    def __init__(
        self,
        root: Root,
        path: str,
        shape: tuple[int, ...],
        identity: str,
        queue: WriteQueue,
        dtype: str = "float32",
    ) -> None:
        self._where, self._shape, self._known, self._queue = (
            f"{root.uri}/{path}",
            shape,
            {"identity": identity},
            queue,
        )
        dims = IMAGE_AXES[-len(shape) :]
        self._array = HiddenArray(root, path, shape, np.dtype(dtype), dims, self._known, streamed=True)
        self._scales: list[float] | None = [] if dtype == "float16" else None
        self._digests = [hashlib.sha256() for _ in range(shape[0] if len(shape) == 4 else 1)]
        self._n_taken = 0
        self._pieces: list[NDArray[np.float32]] = []  # of the planes that fill no chunk yet

    def append(self, values: NDArray[np.floating[Any]]) -> None:
        """Take the next planes ``[n, Y, Z]`` or ``[C, n, Y, Z]``; they are copied.

        Raises
        ------
        StoreError
            If planes do not fit, or what was handed over before could not be written.
        """
        n_planes = self._shape[-3]
        expected = (*self._shape[:-3], values.shape[-3], *self._shape[-2:])
        if values.shape != expected or self._n_taken + values.shape[-3] > n_planes:
            raise StoreError(
                self._where,
                got=f"planes {list(values.shape)} after {self._n_taken} of {n_planes}",
                allowed=f"the next planes of {list(self._shape)}",
                remedy="append each plane once, in order",
            )
        while values.shape[-3]:
            n = min(UNIT_PLANES - self._n_taken % UNIT_PLANES, values.shape[-3])
            self._pieces.append(values[..., :n, :, :].astype(np.float32))
            values = values[..., n:, :, :]
            self._n_taken += n
            if self._n_taken % UNIT_PLANES == 0 or self._n_taken == n_planes:
                block = self._pieces[0] if len(self._pieces) == 1 else np.concatenate(self._pieces, axis=-3)
                self._pieces = []
                self._queue.submit(partial(self._write, block, self._n_taken - block.shape[-3]))

    def _write(self, block: NDArray[np.float32], start: int) -> None:
        """Write a chunk's planes, and digest what will be read of them."""
        stored: NDArray[Any] = block
        if self._scales is not None:
            stored, scale = encoded(block)
            self._scales.append(scale)
            block = decoded(stored, [scale])
        self._array.write(stored, start)
        for digest, channel in zip(self._digests, block.reshape(-1, *block.shape[-3:]), strict=True):
            digest.update(np.ascontiguousarray(channel).data)

    def finish(self, info: Mapping[str, Any]) -> Unit:
        """Make the unit visible, with what the method says about its result, JSON-ready.

        Raises
        ------
        StoreError
            If planes are missing, something could not be written, or another writer made another result
            visible here meanwhile.
        """
        if self._n_taken != self._shape[-3]:
            raise StoreError(
                self._where,
                got=f"{self._n_taken} planes",
                allowed=f"{self._shape[-3]}",
                remedy="append all planes before the end",
            )
        self._queue.drain()
        scales = {} if self._scales is None else {SCALES: self._scales}
        made = {"finished": now(), MADE_BY: code_version()}
        told = json_ready({**self._known, "info": info, **made, **scales})
        own = {**told, "checksum": combined_checksum([digest.digest() for digest in self._digests])}
        self._array.publish_alone(own)
        return Unit.of(own, self._shape)
