"""How a batch is cut into parts, each one run on one device, and how the parts of a scan add up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import WorkerFilter, WorkerFilterStatus

from agg2exp_core.attribution import choose_classes
from agg2exp_core.pipeline.cache import model_of
from agg2exp_core.pipeline.outcomes import ScanJob, ScanOutcome
from agg2exp_core.pipeline.settings import ExplainSettings


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


def by_scan(scans: Sequence[ScanJob], scans_per_run: int, settings: dict[str, Any]) -> list[Part]:
    """Return parts of some scans each."""
    starts = range(0, len(scans), scans_per_run)
    return [Part(tuple(scans[start : start + scans_per_run]), settings) for start in starts]


def by_class(scans: Sequence[ScanJob], settings: ExplainSettings, n_workers: int) -> list[Part]:
    """Return parts of a scan and a group of its classes, so that no worker is idle.

    A method that plays one game for all classes is not cut: each group would play it anew.
    """
    model = model_of(settings)
    names = [model.class_names[c] for c in choose_classes(model, settings.classes)]
    n_groups = min(n_workers // max(len(scans), 1), len(names))
    if n_groups < 2 or settings.attribution_method.joint:
        return by_scan(scans, 1, settings.model_dump(mode="json"))
    groups = [names[n::n_groups] for n in range(n_groups)]
    cut = [settings.model_copy(update={"classes": group}).model_dump(mode="json") for group in groups]
    return [Part((scan,), of_group) for scan in scans for of_group in cut]


def n_online(client: SyncPrefectClient, pool: str) -> int:
    """Return the workers of a pool that the server has heard of lately."""
    online = WorkerFilter(status=WorkerFilterStatus(any_=["ONLINE"]))
    return len(client.read_workers_for_work_pool(pool, worker_filter=online))


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
