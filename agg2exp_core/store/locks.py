"""Who is at work: many may write a scan together, one alone may remove of it, one alone writes matrices."""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import psutil

from agg2exp_core.errors import StoreError
from agg2exp_core.store.keys import check_name, hours_since, now
from agg2exp_core.store.root import Root

STALE_H = 24.0
"""After which a mark whose process cannot be asked counts no more."""
_STALE_REDUCER_H = 1.0
"""The same of a reducer, for whom others wait."""
_WAIT_S = 600.0
_POLL_S, _SETTLE_S = 0.2, 1.0
_WRITING, _REMOVING, _REDUCING = "writing", "removing", "reducing"
_REDUCER = "reducing.json"
"""The mark of who writes the matrices."""


@dataclass(frozen=True)
class Mark:
    """A process at work.

    Parameters
    ----------
    kind : {"writing", "removing", "reducing"}
        What it does.
    since : str
        When it began.
    host : str
        Its machine.
    pid : int
        Its number there.
    born : float
        When the process started, in seconds, which tells it from a later one of the same number.
    """

    kind: str
    since: str
    host: str
    pid: int
    born: float

    @property
    def counts(self) -> bool:
        """Whether the process may still be at work."""
        if self.host == socket.gethostname():
            try:
                return abs(psutil.Process(self.pid).create_time() - self.born) < 2
            except psutil.NoSuchProcess:
                return False
        return hours_since(self.since) < (_STALE_REDUCER_H if self.kind == _REDUCING else STALE_H)


@contextmanager
def writing(root: Root, scan_id: str) -> Iterator[None]:
    """Keep the voxels of a scan from being removed while the context lasts.

    Parameters
    ----------
    root : Root
        The store's root.
    scan_id : str
        The scan.

    Raises
    ------
    StoreError
        If somebody has been removing for ten minutes.

    Notes
    -----
    Writers and removers first say what they do, then look for each other: one at least sees the other,
    since a key that was written is listed. A remover then goes away, a writer waits.
    """
    with _marked(root, scan_id, _WRITING):
        deadline = time.monotonic() + _WAIT_S
        while _others(root, scan_id, _REMOVING):
            if time.monotonic() > deadline:
                raise StoreError(
                    scan_id,
                    got=f"voxels that have been on their way out for {_WAIT_S:g} s",
                    allowed="a scan that nobody removes from",
                    remedy="try again when the retention has ended",
                )
            time.sleep(_POLL_S)
        yield


@contextmanager
def removing(root: Root, scan_id: str) -> Iterator[bool]:
    """Say whether the scan is free to be removed from, and keep it so while the context lasts."""
    with _marked(root, scan_id, _REMOVING) as mine:
        yield not _others(root, scan_id, _WRITING) and not _others(root, scan_id, _REMOVING, mine)


@contextmanager
def reducing(root: Root) -> Iterator[None]:
    """Be the one who writes the matrices over scans while the context lasts; wait for another one.

    Raises
    ------
    StoreError
        If somebody has been at it for ten minutes.
    """
    mine = asdict(_mark(_REDUCING)) | {"run": uuid.uuid4().hex}
    deadline, has_taken_over = time.monotonic() + _WAIT_S, False
    while (held := root.claim_json(_REDUCER, mine)) != mine or has_taken_over:
        if held == mine:  # who found the same mark stale at that moment may have removed this one by now
            has_taken_over = False
            time.sleep(_SETTLE_S)
        elif held is not None and not Mark(**{key: held[key] for key in held if key != "run"}).counts:
            root.delete(_REDUCER)
            has_taken_over = True
        elif time.monotonic() > deadline:
            raise StoreError(
                f"{root.uri}/importance.zarr",
                got=f"matrices that another run has been writing for {_WAIT_S:g} s",
                allowed="one run at a time that reduces",
                remedy="try again when it has ended",
            )
        else:
            time.sleep(_POLL_S)
    try:
        yield
    finally:
        if root.get_json(_REDUCER) == mine:
            root.delete(_REDUCER)


def _mark(kind: str) -> Mark:
    born = psutil.Process().create_time()
    return Mark(kind, now(), socket.gethostname(), os.getpid(), born)


@contextmanager
def _marked(root: Root, scan_id: str, kind: str) -> Iterator[str]:
    name = f"{uuid.uuid4().hex}.json"
    key = f"{_folder(scan_id)}/{name}"
    root.put_json(key, asdict(_mark(kind)))
    try:
        yield name
    finally:
        root.delete(key)


def _others(root: Root, scan_id: str, kind: str, mine: str = "") -> list[Mark]:
    """Return the marks of a kind that count; those of processes that are gone are removed."""
    folder, found = _folder(scan_id), []
    for name in root.children(folder):
        record = root.get_json(f"{folder}/{name}") if name.endswith(".json") and name != mine else None
        if record is None:
            continue
        mark = Mark(**record)
        if not mark.counts:
            root.delete(f"{folder}/{name}")
        elif mark.kind == kind:
            found.append(mark)
    return found


def _folder(scan_id: str) -> str:
    return f"at_work/{check_name('scan', scan_id)}"
