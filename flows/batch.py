"""Flows `explain-batch` and `benchmark-batch`: the scans of a folder, fanned out to the workers of a pool."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from agg2exp.flows.alerts import alert
from agg2exp.flows.benchmark import benchmark_each
from agg2exp.flows.explain import explain_each
from agg2exp.flows.fan_out import Grain, fan_out, reported
from agg2exp.flows.late import ending_run
from agg2exp.flows.pacs_export import return_results
from agg2exp.flows.partition import by_class, by_scan, merged, n_online
from agg2exp.flows.places import require_places
from agg2exp.tasks.benchmark import tabulate
from agg2exp.tasks.explain import reduce_cohort, reduce_scan
from agg2exp.tasks.publish import publish
from agg2exp.tasks.time_limit import ending
from agg2exp_core.export.pacs import ReturnSettings
from agg2exp_core.pipeline.benchmark import register_all
from agg2exp_core.pipeline.benchmark_settings import BenchmarkSettings
from agg2exp_core.pipeline.cache import store_of
from agg2exp_core.pipeline.known import mark_complete, stamp_or_none
from agg2exp_core.pipeline.outcomes import (
    Alert,
    RunSummary,
    ScanJob,
    ScanOutcome,
    record_failure,
    record_rejected,
    seen,
)
from agg2exp_core.pipeline.plan import claim_store, plan_scans
from agg2exp_core.pipeline.settings import ExplainSettings
from agg2exp_core.store import Store

PARTS_POOL = "gpu"
"""The pool whose workers take the parts."""

PART = "explain-part"
"""The deployment that explains some scans on one device."""

BENCHMARK_PART = "benchmark-part"
"""The deployment that benchmarks some scans on one device."""


@flow(name=PART, flow_run_name="explain {settings.method}, part")
def explain_part(scans: list[ScanJob], settings: ExplainSettings) -> State[None]:
    """Explain some scans on the device of this worker; the state's message holds how each fared."""
    with ending(ending_run(scans)):
        return reported(explain_each(scans, settings))


@flow(name="explain-batch", flow_run_name="explain batch, {settings.method}")
def explain_batch(
    scans: list[str],
    settings: ExplainSettings,
    scans_per_run: Grain = "auto",
    queue: str = "nightly",
    results: ReturnSettings | None = None,
) -> State[None]:
    """Explain files and folders of scans on all workers of the pool, then the matrices of the cohort.

    Scans that the store holds all of, from files that have not changed since, are left alone: no run is
    sent for them, so that a schedule over a growing folder costs what is new.
    While workers would be idle, since there are fewer scans than workers, a scan goes to several of them by
    groups of its classes.

    Parameters
    ----------
    scans : list of str
        NIfTI files, or folders of them, as the workers see them.
    settings : ExplainSettings
        How they are explained; the store is one that all workers reach.
    scans_per_run : int or "auto"
        Scans of one flow run; by default fewer and fewer, by how long they take and how many are left.
    queue : str
        Work queue of the pool, which decides who goes first.
    results : ReturnSettings, optional
        Where results go back to.
    """
    require_places(settings, scans)
    checked = plan_scans(scans, None, settings)
    claim_store(checked)
    store = store_of(settings.store)
    outcomes = record_rejected(store, checked.rejected, alert)
    parts = by_scan(checked.jobs, settings.model_dump(mode="json"))
    with get_client(sync_client=True) as client:
        n_workers = n_online(client, PARTS_POOL)
    if 0 < len(parts) < n_workers:
        parts = by_class(checked.jobs, settings, n_workers)
    stamps = {job.scan_id: (job, stamp_or_none(job.path)) for job in checked.jobs}
    sent = merged(fan_out(PART, PARTS_POOL, parts, queue, scans_per_run))
    outcomes += seen(sent, store.scans(), settings.store)
    _record(store, outcomes, "explain")
    if len(parts) > len(checked.jobs):
        for outcome in outcomes:
            if outcome.status == "done":  # each of its parts has written the rows that it saw
                reduce_scan(settings.store, outcome.scan_id, settings.result_label)
                job, stamp = stamps[outcome.scan_id]
                mark_complete(job, settings, stamp)
    n_cohort = reduce_cohort(settings.store, settings.result_label)
    summary = RunSummary(settings.store, settings.result_label, outcomes, n_cohort, len(checked.kept))
    publish(summary)
    if results is not None:  # what a PACS does not take today it is offered tomorrow
        return_results(settings.store, settings.result_label, results, return_state=True)
    beside = f"; {summary.n_kept:,} kept" if summary.n_kept else ""
    told = f"{summary.n_done} of {len(outcomes)} scans explained{beside}"
    return _ended(summary, told if outcomes else summary.counts)


@flow(name=BENCHMARK_PART, flow_run_name="benchmark, part")
def benchmark_part(scans: list[ScanJob], settings: BenchmarkSettings) -> State[None]:
    """Benchmark methods on some scans on the device of this worker; the message holds how each fared."""
    return reported(benchmark_each(scans, settings))


@flow(name="benchmark-batch", flow_run_name="benchmark batch")
def benchmark_batch(
    scans: list[str], settings: BenchmarkSettings, scans_per_run: Grain = "auto", queue: str = "backfill"
) -> State[None]:
    """Benchmark methods on files and folders of scans on all workers of the pool, then the table.

    What is in the store already is kept: a new method, metric or scan computes only what is new.

    Parameters
    ----------
    scans : list of str
        NIfTI files, or folders of them, as the workers see them.
    settings : BenchmarkSettings
        Methods and metrics; the store is one that all workers reach.
    scans_per_run : int or "auto"
        Scans of one flow run, likewise.
    queue : str
        Work queue of the pool, which decides who goes first.
    """
    require_places(settings, scans)
    checked = plan_scans(scans, None, settings.judged[0])
    claim_store(checked)
    store = store_of(settings.store)
    register_all(store, settings)
    outcomes = record_rejected(store, checked.rejected, alert)
    parts = by_scan(checked.usable, settings.model_dump(mode="json"))
    sent = fan_out(BENCHMARK_PART, PARTS_POOL, parts, queue, scans_per_run)
    outcomes += seen(sent, store.scans(), settings.store)
    _record(store, outcomes, "benchmark")
    tabulate(settings.store)
    summary = RunSummary(settings.store, "benchmark", outcomes, n_cohort=0)
    return _ended(summary, f"{summary.n_done} of {len(outcomes)} scans benchmarked")


def _record(store: Store, outcomes: Sequence[ScanOutcome], stage: str) -> None:
    """Record what no run could: those of lost runs, and a scan of which one part of several failed."""
    for outcome in outcomes:
        if outcome.status in ("lost", "failed"):
            record_failure(store, Alert(outcome.scan_id, stage, outcome.reason), alert)


def _ended(summary: RunSummary, message: str) -> State[None]:
    useless = summary.outcomes and not summary.n_done and not summary.n_kept
    return Failed(message=message) if useless else Completed(message=message)
