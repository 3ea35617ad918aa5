"""Parts of a batch, each one run of a deployment: sent to workers, awaited, sent again when one crashes."""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, TypeVar, cast
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import run_deployment
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from agg2exp.flows.partition import Part
from agg2exp_core.pipeline.outcomes import ScanOutcome

POLL_S = 2.0
"""Between two questions to the server about the runs that are under way."""

MOST_TRIES = 3
"""Of a run whose process or machine goes down; what it finished is kept."""

PATIENCE_S = 3600.0
"""That a server which does not answer is waited for: its restart does not end a batch."""

_ASK_AGAIN_S = 10.0

_PAGE = 200
"""Runs that one question names."""

T = TypeVar("T")


def reported(outcomes: Sequence[ScanOutcome]) -> State[None]:
    """Return the state in which a part ends: its message tells how each scan fared."""
    message = json.dumps([asdict(outcome) for outcome in outcomes])
    if all(outcome.status == "failed" for outcome in outcomes):
        return Failed(message=message)
    return Completed(message=message)


def fan_out(deployment: str, parts: Sequence[Part], queue: str) -> list[ScanOutcome]:
    """Run a deployment on each part; a run that crashed is sent again.

    The server is asked about the runs that are under way alone.

    Parameters
    ----------
    deployment : str
        Name of the deployment, which is its flow's name as well; it takes ``scans`` and ``settings``.
    parts : sequence of Part
        What each run is given.
    queue : str
        Work queue of its pool.

    Returns
    -------
    list of ScanOutcome
        How the scans of each part fared, in their order.
    """
    under_way = {_submit(deployment, part, queue): (n, 1) for n, part in enumerate(parts)}
    outcomes: dict[int, list[ScanOutcome]] = {}
    log = get_run_logger()
    with get_client(sync_client=True) as client:
        while under_way:
            ended = [run for run in _read(client, sorted(under_way)) if run.state and run.state.is_final()]
            for run in ended:
                n, n_tries = under_way.pop(run.id)
                if run.state is not None and run.state.is_crashed() and n_tries < MOST_TRIES:
                    log.warning("run %s crashed; its scans are sent again", run.name)
                    under_way[_submit(deployment, parts[n], queue)] = n, n_tries + 1
                else:
                    outcomes[n] = _outcomes(run, parts[n])
            if ended:
                log.info("%d of %d runs ended", len(outcomes), len(parts))
            elif under_way:
                time.sleep(POLL_S)
    return [outcome for n in range(len(parts)) for outcome in outcomes[n]]


def _submit(deployment: str, part: Part, queue: str) -> UUID:
    """Send a part to the workers, unless this batch has sent it before and it is still good.

    A batch that crashed and goes on finds the runs that it had sent: those that are under way, and those
    that did all of their scans.
    """
    parameters = {"scans": [asdict(job) for job in part.scans], "settings": part.settings}
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()

    def send(n: int) -> FlowRun:
        return cast(
            FlowRun,
            run_deployment(
                f"{deployment}/{deployment}",
                parameters=parameters,
                work_queue_name=queue,
                timeout=0,
                tags=[job.scan_id for job in part.scans][:8],
                idempotency_key=f"{flow_run.id}-{digest}-{n}",
            ),
        )

    for n in itertools.count():
        run = _patiently(send, n)
        if not (run.state and run.state.is_final()) or _did_all(run, part):
            return run.id
    raise AssertionError("the count of runs has no end")


def _did_all(run: FlowRun, part: Part) -> bool:
    return all(outcome.status == "done" for outcome in _outcomes(run, part))


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
