"""How far a scan is: a progress artifact in the UI, and whoever else listens in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from agg2exp.tasks.artifacts import artifact_key

_SECONDS_BETWEEN_UPDATES = 2.0


@dataclass(frozen=True)
class Step:
    """One message of progress.

    Parameters
    ----------
    scan_id : str
        Which scan.
    stage : str
        What is being done.
    share : float
        How much of it is done, 0 to 1.
    """

    scan_id: str
    stage: str
    share: float


_listeners: list[Callable[[Step], None]] = []


@contextmanager
def listening(listener: Callable[[Step], None]) -> Iterator[None]:
    """Hear of every step that tasks of this process take."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def tell_listeners(scan_id: str, stage: str, share: float) -> None:
    """Tell the listeners of this process."""
    for listener in _listeners:
        listener(Step(scan_id, stage, share))


@contextmanager
def reporting(scan_id: str, stage: str) -> Iterator[Callable[[int, int], None]]:
    """Give a callback that shows ``(done, total)`` in the UI and to listeners."""
    key = artifact_key("progress", scan_id, stage)
    artifact_id = create_progress_artifact(progress=0.0, key=key, description=f"{scan_id}: {stage}")
    assert isinstance(artifact_id, UUID)
    shown = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal shown
        tell_listeners(scan_id, stage, done / total)
        now = time.monotonic()
        if done == total or now - shown >= _SECONDS_BETWEEN_UPDATES:
            update_progress_artifact(artifact_id=artifact_id, progress=100.0 * done / total)
            shown = now

    yield report
