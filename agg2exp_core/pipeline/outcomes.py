"""How scans fare in a run, and how a run of many goes on past one that fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from agg2exp_core.errors import Agg2ExpError, ScanError
from agg2exp_core.store import Failure, Store
from agg2exp_core.store.locks import writing

_MOST_LETTERS = 300
"""Of a foreign error's text."""

_DEAD_CONTEXT = ("CUDA error", "CUDNN_STATUS_EXECUTION_FAILED", "CUBLAS_STATUS_EXECUTION_FAILED")
"""What errors say that a library of the device raised."""

_SPOILT = "not begun, since an error of the device before it spoilt the process; start again to finish it"


class UnusableScanError(ScanError):
    """A scan that cannot be used as it is, which only its voxels tell: it is set aside."""


@dataclass(frozen=True)
class ScanJob:
    """A scan to explain.

    Parameters
    ----------
    scan_id : str
        Its name everywhere.
    path : str
        Where it lies.
    """

    scan_id: str
    path: str


@dataclass(frozen=True)
class Rejected:
    """A scan that cannot be used, known before the work begins.

    Parameters
    ----------
    scan_id : str
        Its name.
    reason : str
        Why, in one sentence without its path.
    """

    scan_id: str
    reason: str


@dataclass(frozen=True)
class ScanOutcome:
    """How a scan fared in a run.

    Parameters
    ----------
    scan_id : str
        Its name.
    status : {"done", "failed", "rejected", "lost", "left"}
        Whether it was explained, failed on the way, could not be used, was in a run that did not report, or
        was not begun since an error before it spoilt the process.
    reason : str
        Why not; of what is done, a remark or nothing.
    n_classes : int
        Classes that the model found in it.
    n_computed, n_kept : int
        Attributions computed in this run, and found complete in the store.
    seconds : float
        Wall time of this run.
    """

    scan_id: str
    status: str
    reason: str = ""
    n_classes: int = 0
    n_computed: int = 0
    n_kept: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class RunSummary:
    """How a run fared.

    Parameters
    ----------
    store : str
        Where the results are.
    label : str
        Their name there.
    outcomes : list of ScanOutcome
        One for each scan that was worked on, in the order they were given.
    n_cohort : int
        Scans of the store in the matrices of this label.
    n_kept : int
        Scans that were complete before, and were left alone.
    """

    store: str
    label: str
    outcomes: list[ScanOutcome]
    n_cohort: int
    n_kept: int = 0

    @property
    def counts(self) -> str:
        """How many scans were new and how many were left alone, for people."""
        return f"{len(self.outcomes):,} new, {self.n_kept:,} kept"

    @property
    def n_done(self) -> int:
        """Scans that are explained."""
        return sum(outcome.status == "done" for outcome in self.outcomes)


@dataclass(frozen=True)
class Alert:
    """What somebody should hear of.

    Parameters
    ----------
    scan_id : str
        The scan, or where it has no id the keyed hash of its content.
    stage : str
        Where it happened.
    reason : str
        Why, in one sentence that names nobody.
    is_quarantined : bool
        Whether the scan cannot be used as it is; else it is tried again.
    """

    scan_id: str
    stage: str
    reason: str
    is_quarantined: bool = False


Listener = Callable[[Alert], None]
"""Told of each new failure."""


def tell_nobody(alert: Alert) -> None:
    """Do nothing."""


@contextmanager
def without_path(scan_id: str) -> Iterator[None]:
    """Let errors name a scan by its id: logs and run states show no path, which may name a person."""
    try:
        yield
    except Agg2ExpError as error:
        raise error.at(scan_id) from None


def reason_of(error: object, scan_id: str, path: str) -> str:
    """Say in one sentence why a scan failed, without its path, which may name a person."""
    if isinstance(error, Agg2ExpError):
        text = error.reason
    else:
        text = f"{type(error).__name__}: {' '.join(str(error).split())[:_MOST_LETTERS]}"
    return text.replace(path, scan_id)


def seen(outcomes: Sequence[ScanOutcome], there: Collection[str], store: str) -> list[ScanOutcome]:
    """Return outcomes of other machines; one that is done counts only if its results are seen from here.

    Parameters
    ----------
    outcomes : sequence of ScanOutcome
        As the runs told them.
    there : collection of str
        Scans that have results in the store.
    store : str
        Its address.
    """
    reason = (
        f"its run says that it is done, but {store} as this machine sees it holds no result of it; allowed: "
        "a store that all machines reach under one address; mount it there too, or give s3://bucket/prefix"
    )
    lost = [one for one in outcomes if one.status == "done" and one.scan_id not in there]
    return [replace(one, status="failed", reason=reason) if one in lost else one for one in outcomes]


def record_failure(store: Store, alert: Alert, listener: Listener = tell_nobody) -> None:
    """Record why a scan failed; what is recorded already is told once."""
    if store.failure(alert.scan_id) != Failure(alert.stage, alert.reason):
        store.record_failure(alert.scan_id, alert.stage, alert.reason)
        listener(alert)


def record_rejected(
    store: Store, rejected: Sequence[Rejected], listener: Listener = tell_nobody
) -> list[ScanOutcome]:
    """Record scans that were found unusable; return how each fared."""
    for bad in rejected:
        record_failure(store, Alert(bad.scan_id, "read", bad.reason, is_quarantined=True), listener)
    return [ScanOutcome(bad.scan_id, "rejected", bad.reason) for bad in rejected]


def run_each(
    scans: Sequence[ScanJob],
    store: Store,
    stage: str,
    run: Callable[[ScanJob], ScanOutcome],
    listener: Listener = tell_nobody,
    meanwhile: Callable[[ScanJob], None] = lambda scan: None,
) -> list[ScanOutcome]:
    """Run something on scans one after the other; one that fails is recorded with its reason.

    After an error that spoils the process the others are left: a new process has to take them.

    Parameters
    ----------
    scans : sequence of ScanJob
        The scans.
    store : Store
        Where failures are recorded, and which scan is being written.
    stage : str
        What is run, for the record.
    run : callable
        Returns how a scan fared, or raises.
    listener : callable
        Told of each new failure.
    meanwhile : callable
        Given the next scan when one begins.
    """
    outcomes: list[ScanOutcome] = []
    for n, scan in enumerate(scans):
        started = time.monotonic()
        for following in scans[n + 1 : n + 2]:
            meanwhile(following)
        try:
            with writing(store.root, scan.scan_id):
                outcome = run(scan)
            store.clear_failure(scan.scan_id)
        except UnusableScanError as error:
            (outcome,) = record_rejected(store, [Rejected(scan.scan_id, error.reason)], listener)
        except Exception as error:  # whatever befalls one scan, the others go on
            reason = reason_of(error, scan.scan_id, scan.path)
            record_failure(store, Alert(scan.scan_id, stage, reason), listener)
            outcome = ScanOutcome(scan.scan_id, "failed", reason, seconds=time.monotonic() - started)
            if spoils_process(error):
                others = [ScanOutcome(other.scan_id, "left", _SPOILT) for other in scans[n + 1 :]]
                return [*outcomes, outcome, *others]
        outcomes.append(outcome)
    return outcomes


def spoils_process(error: BaseException) -> bool:
    """Say whether an error leaves the device's context dead, so that all later work of the process fails."""
    if error.__cause__ is not None and spoils_process(error.__cause__):
        return True
    if isinstance(error, torch.OutOfMemoryError):
        return False
    return isinstance(error, torch.AcceleratorError) or (
        isinstance(error, RuntimeError) and any(sign in str(error) for sign in _DEAD_CONTEXT)
    )
