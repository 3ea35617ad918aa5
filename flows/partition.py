"""How a batch is cut into parts, each one run on one device, and how the parts of a scan add up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice, takewhile
from math import ceil, inf
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import WorkerFilter, WorkerFilterStatus

from agg2exp_core.attribution import choose_classes
from agg2exp_core.pipeline.cache import model_of
from agg2exp_core.pipeline.outcomes import ScanJob, ScanOutcome
from agg2exp_core.pipeline.settings import ExplainSettings

LEAST_S = 60.0
"""That a run should work, where scans are left: its process takes some ten seconds to start."""

MOST_AT_ONCE = 64
"""Runs at once on a pool that does not say how many it can have."""


@dataclass(frozen=True)
class Part:
    """What one run is given.

    Parameters
    ----------
    scans : tuple of ScanJob
        Its scans.
    settings : dict
        The other parameter of its deployment, JSON-ready.
    """

    scans: tuple[ScanJob, ...]
    settings: dict[str, Any]


def by_scan(scans: Sequence[ScanJob], settings: dict[str, Any]) -> list[Part]:
    """Return a part a scan, the finest cut; `take` joins them again."""
    return [Part((scan,), settings) for scan in scans]


def take(parts: Sequence[Part], size: int) -> tuple[Part, list[Part]]:
    """Return the first parts as one of up to `size` scans with the same settings, and those that are left."""
    first = parts[0]
    alike = takewhile(lambda part: part.settings == first.settings, parts)
    taken = list(islice(alike, size))
    scans = tuple(scan for part in taken for scan in part.scans)
    return Part(scans, first.settings), list(parts[len(taken) :])


def guided_size(n_left: int, n_workers: int, seconds: Sequence[float]) -> int:
    """Return how many scans the next run gets: fewer and fewer, so that no worker waits long at the end.

    Parameters
    ----------
    n_left : int
        Scans that no run has yet.
    n_workers : int
        Runs that are at work at once.
    seconds : sequence of float
        What scans of this batch took.

    Notes
    -----
    Guided self-scheduling: half of a worker's share of what is left, but at least what keeps a process
    busy for `LEAST_S`, and never more than its share.
    """
    share = ceil(n_left / n_workers)
    mean_s = sum(seconds) / len(seconds) if seconds else inf
    least = ceil(LEAST_S / mean_s) if mean_s > 0 else share
    return min(max(ceil(share / 2), least), share)


def by_class(scans: Sequence[ScanJob], settings: ExplainSettings, n_workers: int) -> list[Part]:
    """Return parts of a scan and a group of its classes, so that no worker is idle.

    A method that plays one game for all classes is not cut: each group would play it anew.
    """
    model = model_of(settings)
    names = [model.class_names[c] for c in choose_classes(model, settings.classes)]
    n_groups = min(n_workers // max(len(scans), 1), len(names))
    if n_groups < 2 or settings.attribution_method.joint:
        return by_scan(scans, settings.model_dump(mode="json"))
    groups = [names[n::n_groups] for n in range(n_groups)]
    cut = [settings.model_copy(update={"classes": group}).model_dump(mode="json") for group in groups]
    return [Part((scan,), of_group) for scan in scans for of_group in cut]


def n_online(client: SyncPrefectClient, pool: str) -> int:
    """Return the workers of a pool that the server has heard of lately."""
    online = WorkerFilter(status=WorkerFilterStatus(any_=["ONLINE"]))
    return len(client.read_workers_for_work_pool(pool, worker_filter=online))


def n_at_once(client: SyncPrefectClient, pool: str) -> int:
    """Return how many runs of a pool can be at work at once.

    A worker of a pool of processes has one device and takes one run at a time. A worker of another kind of
    pool, such as Kubernetes, starts as many as the pool allows.
    """
    about = client.read_work_pool(pool)
    if about.type == "process":
        return max(n_online(client, pool), 1)
    return about.concurrency_limit or MOST_AT_ONCE


def merged(outcomes: Sequence[ScanOutcome]) -> list[ScanOutcome]:
    """Return one outcome a scan, in order; of several, a scan is done if all are."""
    by_id: dict[str, list[ScanOutcome]] = {}
    for outcome in outcomes:
        by_id.setdefault(outcome.scan_id, []).append(outcome)
    return [_sum(of_scan) for of_scan in by_id.values()]


def _sum(outcomes: Sequence[ScanOutcome]) -> ScanOutcome:
    told = next((outcome for outcome in outcomes if outcome.status != "done"), outcomes[0])
    return replace(
        told,
        n_computed=sum(outcome.n_computed for outcome in outcomes),
        n_kept=sum(outcome.n_kept for outcome in outcomes),
        seconds=max(outcome.seconds for outcome in outcomes),
    )
