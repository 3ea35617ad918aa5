"""Parts of a batch, each one run of a deployment: sent to workers, awaited, sent again when one crashes."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal, TypeVar, cast
from uuid import UUID, uuid4

import httpx
from prefect import get_run_logger
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import run_deployment
from prefect.runtime import flow_run
from prefect.states import Completed, Failed
from pydantic import Field

from agg2exp.flows.partition import Part, guided_size, n_at_once, take
from agg2exp_core.pipeline.outcomes import ScanJob, ScanOutcome

Grain = Annotated[int, Field(ge=1)] | Literal["auto"]
"""Scans of a run: a number, or by how long they take and how many are left."""

POLL_S = 2.0
"""Between two questions to the server about the runs that are under way."""

MOST_TRIES = 3
"""Of a run whose process or machine goes down; what it finished is kept."""

PATIENCE_S = 3600.0
"""That a server which does not answer is waited for: its restart does not end a batch."""

_ASK_AGAIN_S = 10.0

_PAGE = 200
"""Runs that one question names, and that one answer holds."""

_LATELY = 50
"""Scans whose seconds decide on the size of the next part."""

T = TypeVar("T")


def reported(outcomes: Sequence[ScanOutcome]) -> State[None]:
    """Return the state in which a part ends: its message tells how each scan fared."""
    message = json.dumps([asdict(outcome) for outcome in outcomes])
    if all(outcome.status == "failed" for outcome in outcomes):
        return Failed(message=message)
    return Completed(message=message)


def fan_out(
    deployment: str, pool: str, parts: Sequence[Part], queue: str, scans_per_run: Grain
) -> list[ScanOutcome]:
    """Run a deployment on parts, some at a time; one that crashed is sent again.

    No more runs are sent than workers take, and one for each four of them that waits: so the size of a part
    is decided late. A batch that crashed and goes on finds the runs that it had sent.

    Parameters
    ----------
    deployment : str
        Name of the deployment, which is its flow's name as well; it takes ``scans`` and ``settings``.
    pool : str
        Its work pool.
    parts : sequence of Part
        One a scan, or a scan and some classes; those of the same settings are joined.
    queue : str
        Work queue of the pool.
    scans_per_run : int or "auto"
        Scans that are joined.

    Returns
    -------
    list of ScanOutcome
        How the scans fared, in the order of the parts.
    """
    left, log = list(parts), get_run_logger()
    outcomes: list[ScanOutcome] = []
    seconds: deque[float] = deque(maxlen=_LATELY)
    with get_client(sync_client=True) as client:
        under_way, left = _sent_before(client, left, outcomes)
        while left or under_way:
            n_runs = _patiently(n_at_once, client, pool) if left else 0
            while left and len(under_way) < n_runs + n_runs // 4 + 1:
                size = guided_size(len(left), n_runs, seconds) if scans_per_run == "auto" else scans_per_run
                part, left = take(left, size)
                under_way[_submit(deployment, part, queue)] = part, 1
            ended = [run for run in _read(client, sorted(under_way)) if run.state and run.state.is_final()]
            for run in ended:
                part, n_tries = under_way.pop(run.id)
                if run.state is not None and run.state.is_crashed() and n_tries < MOST_TRIES:
                    log.warning("run %s crashed; its scans are sent again", run.name)
                    under_way[_submit(deployment, part, queue)] = part, n_tries + 1
                    continue
                told = _outcomes(run, part)
                again = {outcome.scan_id for outcome in told if outcome.status == "left"}
                outcomes += [outcome for outcome in told if outcome.scan_id not in again]
                seconds.extend(outcome.seconds for outcome in told if outcome.status == "done")
                left[:0] = [Part((job,), part.settings) for job in part.scans if job.scan_id in again]
            if ended:
                log.info("%d scans ended, %d are under way, %d are left", *_counts(outcomes, under_way, left))
            elif under_way:
                time.sleep(POLL_S)
    places = {job.scan_id: n for n, part in enumerate(parts) for job in part.scans}
    wanted = [
        outcome for outcome in outcomes if outcome.scan_id in places
    ]  # a run sent before may have others
    return sorted(wanted, key=lambda outcome: places[outcome.scan_id])


def _counts(
    outcomes: Sequence[ScanOutcome], under_way: dict[UUID, tuple[Part, int]], left: Sequence[Part]
) -> tuple[int, int, int]:
    return len(outcomes), sum(len(part.scans) for part, _ in under_way.values()), len(left)


def _tag() -> str:
    return f"batch {flow_run.id}"


def _sent_before(
    client: SyncPrefectClient, parts: Sequence[Part], outcomes: list[ScanOutcome]
) -> tuple[dict[UUID, tuple[Part, int]], list[Part]]:
    """Return the runs that this batch sent before it crashed and that are under way, and the parts left.

    How the scans of those that have ended fared is added to `outcomes`; what crashed is left.
    """
    wanted = {_key(part.scans[0], part.settings): part for part in parts}
    under_way: dict[UUID, tuple[Part, int]] = {}
    for run in _of_this_batch(client):
        jobs = [ScanJob(**job) for job in run.parameters["scans"]]
        settings = run.parameters["settings"]
        known = [job for job in jobs if _key(job, settings) in wanted]
        if run.state is None or not run.state.is_final():
            under_way[run.id] = Part(tuple(jobs), settings), 1
        else:
            done = {told.scan_id: told for told in _outcomes(run, Part(tuple(jobs), settings))}
            known = [job for job in known if done[job.scan_id].status == "done"]
            outcomes += [done[job.scan_id] for job in known]
        for job in known:
            del wanted[_key(job, settings)]
    return under_way, list(wanted.values())


def _key(job: ScanJob, settings: dict[str, Any]) -> str:
    return json.dumps([asdict(job), settings], sort_keys=True)


def _of_this_batch(client: SyncPrefectClient) -> Iterator[FlowRun]:
    tagged = FlowRunFilter(tags=FlowRunFilterTags(all_=[_tag()]))
    for offset in range(0, 10**9, _PAGE):
        page = _patiently(client.read_flow_runs, flow_run_filter=tagged, limit=_PAGE, offset=offset)
        yield from page
        if len(page) < _PAGE:
            return


def _submit(deployment: str, part: Part, queue: str) -> UUID:
    """Send a part to the workers, once, however often the server has to be asked."""
    key = uuid4().hex
    parameters = {"scans": [asdict(job) for job in part.scans], "settings": part.settings}

    def send() -> FlowRun:
        return cast(
            FlowRun,
            run_deployment(
                f"{deployment}/{deployment}",
                parameters=parameters,
                work_queue_name=queue,
                timeout=0,
                tags=[_tag(), *(job.scan_id for job in part.scans[:8])],
                idempotency_key=key,
            ),
        )

    return _patiently(send).id


def _read(client: SyncPrefectClient, ids: Sequence[UUID]) -> Iterator[FlowRun]:
    for start in range(0, len(ids), _PAGE):
        some = FlowRunFilterId(any_=list(ids[start : start + _PAGE]))
        yield from _patiently(client.read_flow_runs, flow_run_filter=FlowRunFilter(id=some))


def _patiently(ask: Callable[..., T], *arguments: Any, **named: Any) -> T:
    """Return what the server answers; while it is away, ask again."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask(*arguments, **named)
        except httpx.HTTPError as error:
            is_away = not isinstance(error, httpx.HTTPStatusError) or error.response.status_code >= 500
            if not is_away or time.monotonic() > deadline:
                raise
            get_run_logger().warning("the Prefect server does not answer (%s); asking again", error)
            time.sleep(_ASK_AGAIN_S)


def _outcomes(run: FlowRun, part: Part) -> list[ScanOutcome]:
    """Return how the scans of a run fared; those of a run that did not report are lost."""
    assert run.state is not None
    try:
        return [ScanOutcome(**told) for told in json.loads(run.state.message or "")]
    except (ValueError, TypeError):
        reason = f"the run ended as {run.state.name} without a report; run the batch again to finish it"
        return [ScanOutcome(job.scan_id, "lost", reason) for job in part.scans]
