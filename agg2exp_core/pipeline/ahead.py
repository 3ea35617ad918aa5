"""The next scan is read and preprocessed while this one is computed, so that the device waits for no disk."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from threading import Lock

from agg2exp_core.pipeline.cache import model_of, store_of
from agg2exp_core.pipeline.known import stamp_or_none
from agg2exp_core.pipeline.outcomes import ScanJob
from agg2exp_core.pipeline.settings import ExplainSettings
from agg2exp_core.types import Scan, Volume
from agg2exp_core.volumes import Stamp, prepared, read_for


@dataclass(frozen=True)
class _Ahead:
    stamp: Stamp | None  # taken before the file was read
    scan: Scan


_Wanted = tuple[str, str, str, str, tuple[str, ...]]
_begun: dict[_Wanted, Future[_Ahead | None]] = {}
"""What is being read ahead, by path and the model that it is prepared for, the last one begun last."""

_reading = Lock()
"""Held by whoever reads: readers silence loggers and warnings of the whole process meanwhile."""


@cache
def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="agg2exp-ahead")


def read_ahead(job: ScanJob, settings: ExplainSettings) -> None:
    """Begin to read and preprocess a scan in a thread; what was read before and is not wanted is dropped.

    When a scan begins it is not taken yet, and the next is read already: two are kept.
    """
    wanted = _wanted(job, settings)
    if wanted not in _begun:
        for other in list(_begun)[:-1]:
            del _begun[other]
        _begun[wanted] = _thread().submit(_read, job, settings)


def read(job: ScanJob, settings: ExplainSettings) -> Scan | Volume:
    """Return a scan ready for the model, where the thread has read it as its files are now, else its volume.

    Raises
    ------
    ScanError
        As `agg2exp_core.volumes.read_for` does.
    """
    begun = _begun.pop(_wanted(job, settings), None)
    found = None if begun is None else begun.result()
    if found is not None and found.stamp is not None and found.stamp == stamp_or_none(job.path):
        return found.scan
    with _reading:
        return read_for(model_of(settings), job.path)


def _wanted(job: ScanJob, settings: ExplainSettings) -> _Wanted:
    return job.path, settings.model, settings.device, settings.precision, tuple(settings.accept)


def _read(job: ScanJob, settings: ExplainSettings) -> _Ahead | None:
    """Return a scan that the store has not; None where it will not be preprocessed, or cannot be read."""
    stamp = stamp_or_none(job.path)
    try:
        if store_of(settings.store).scan(job.scan_id).content_hash() is not None:
            return None
        with _reading:
            model = model_of(settings)
            return _Ahead(stamp, prepared(read_for(model, job.path), model, job.scan_id, settings.accept))
    except Exception:  # whoever needs the scan reads it again, and says what is wrong
        return None
