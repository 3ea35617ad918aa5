"""Flow `explain-batch`: the scans of a folder, fanned out to the workers of a pool."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from uuid import UUID

from prefect import flow, get_run_logger
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import run_deployment
from prefect.states import Completed, Failed

from flows.checks import claim_store, plan
from flows.explain import explain_each, record_rejected
from tasks.cohort import reduce_cohort
from tasks.publish import publish
from tasks.resources import store_of
from tasks.settings import ExplainSettings, RunSummary, ScanJob, ScanOutcome

PART = "explain-part"
"""The deployment that explains some scans on one device."""

POLL_S = 2.0
"""Between two questions to the server about the runs that are under way."""

MOST_TRIES = 3
"""Of a run whose process or machine goes down; what it finished is kept."""

_PAGE = 200
"""Runs that one question names."""


@flow(name="explain-part", flow_run_name="explain {settings.method}, part")
def explain_part(scans: list[ScanJob], settings: ExplainSettings) -> State[None]:
    """Explain some scans on the device of this worker; the state's message holds how each fared."""
    outcomes = explain_each(scans, settings)
    message = json.dumps([asdict(outcome) for outcome in outcomes])
    if all(outcome.status == "failed" for outcome in outcomes):
        return Failed(message=message)
    return Completed(message=message)


@flow(name="explain-batch", flow_run_name="explain batch, {settings.method}")
def explain_batch(
    scans: list[str], settings: ExplainSettings, scans_per_run: int = 1, queue: str = "nightly"
) -> State[None]:
    """Explain files and folders of scans on all workers of the pool, then the matrices of the cohort.

    What is in the store already is kept, so that a schedule over a growing folder explains what is new.

    Parameters
    ----------
    scans : list of str
        NIfTI files, or folders of them, as the workers see them.
    settings : ExplainSettings
        How they are explained; the store is one that all workers reach.
    scans_per_run : int
        Scans of one flow run: more of them where a scan takes seconds.
    queue : str
        Work queue of the pool, which decides who goes first.
    """
    checked = plan(scans, None, settings)
    claim_store(checked)
    store = store_of(settings.store)
    outcomes = record_rejected(store, checked.rejected)
    parts = [checked.jobs[i : i + scans_per_run] for i in range(0, len(checked.jobs), scans_per_run)]
    outcomes += _fan_out(parts, settings, queue)
    for outcome in outcomes:
        if outcome.status == "lost":
            store.record_failure(outcome.scan_id, "explain", outcome.reason)
    n_cohort = reduce_cohort(settings.store, settings.result_label)
    summary = RunSummary(settings.store, settings.result_label, outcomes, n_cohort)
    publish(summary)
    message = f"{summary.n_done} of {len(outcomes)} scans explained"
    return Completed(message=message) if summary.n_done or not outcomes else Failed(message=message)


def _submit(part: Sequence[ScanJob], settings: ExplainSettings, queue: str) -> UUID:
    run = run_deployment(
        f"{PART}/{PART}",
        parameters={"scans": [asdict(job) for job in part], "settings": asdict(settings)},
        work_queue_name=queue,
        timeout=0,
        tags=[job.scan_id for job in part][:8],
    )
    return run.id


def _fan_out(parts: Sequence[Sequence[ScanJob]], settings: ExplainSettings, queue: str) -> list[ScanOutcome]:
    """Return how all scans fared, in their order; a run that crashed is sent again.

    The server is asked about the runs that are under way alone.
    """
    under_way = {_submit(part, settings, queue): (n, 1) for n, part in enumerate(parts)}
    outcomes: dict[int, list[ScanOutcome]] = {}
    log = get_run_logger()
    with get_client(sync_client=True) as client:
        while under_way:
            ended = [run for run in _read(client, sorted(under_way)) if run.state and run.state.is_final()]
            for run in ended:
                n, n_tries = under_way.pop(run.id)
                if run.state.is_crashed() and n_tries < MOST_TRIES:
                    log.warning("run %s crashed; its scans are sent again", run.name)
                    under_way[_submit(parts[n], settings, queue)] = n, n_tries + 1
                else:
                    outcomes[n] = _outcomes(run, parts[n])
            if ended:
                log.info("%d of %d runs ended", len(outcomes), len(parts))
            elif under_way:
                time.sleep(POLL_S)
    return [outcome for n in range(len(parts)) for outcome in outcomes[n]]


def _read(client: SyncPrefectClient, ids: Sequence[UUID]) -> Iterator[FlowRun]:
    for start in range(0, len(ids), _PAGE):
        some = FlowRunFilterId(any_=list(ids[start : start + _PAGE]))
        yield from client.read_flow_runs(flow_run_filter=FlowRunFilter(id=some))


def _outcomes(run: FlowRun, part: Sequence[ScanJob]) -> list[ScanOutcome]:
    """Return how the scans of a run fared; those of a run that did not report are lost."""
    assert run.state is not None
    try:
        return [ScanOutcome(**told) for told in json.loads(run.state.message or "")]
    except (ValueError, TypeError):
        reason = f"the run ended as {run.state.name} without a report; run the batch again to explain it"
        return [ScanOutcome(job.scan_id, "lost", reason) for job in part]
