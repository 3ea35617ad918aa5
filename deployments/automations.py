"""What the server does by itself: a silent run is seen as crashed, and a crashed batch goes on."""

from __future__ import annotations

from datetime import timedelta
from typing import cast

from prefect.automations import Automation
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture

from agg2exp.flows.batch import benchmark_batch, explain_batch

HEARTBEAT_S = 30
"""Between two signs of life of a run: the shortest that Prefect takes."""

MISSED = 3
"""Signs of life in a row that a crashed run misses; fewer would take live runs for crashed."""

SETTLE_S = 30
"""Between a batch's crash and its next start: its worker, once it has tidied up, reports the crash again, and
that must not hit the new start."""

MOST_STARTS = 3
"""Of a batch whose process or machine goes down."""

BEGIN_S = 300
"""Given to a run to begin: an image may have to be pulled first."""

PROCESS_BEGINS_S = 100
"""Given to a run that is a process of its worker's machine, with nothing to pull."""

_HEARTBEAT = "prefect.flow-run.heartbeat"
_PENDING = "prefect.flow-run.Pending"
_RUN: dict[str, str | list[str]] = {"prefect.resource.id": "prefect.flow-run.*"}
_LAST_SIGNS = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")}
_BATCHES = (explain_batch.name, benchmark_batch.name)


def automations() -> list[Automation]:
    """Return all automations."""
    running = "prefect.flow-run.Running"
    silent_s = MISSED * HEARTBEAT_S
    batch_crashed = _silence(
        after={"prefect.flow-run.Crashed"},
        expect={_PENDING, running},
        seconds=SETTLE_S,
        match={**_RUN, "prefect.run-count": [str(n) for n in range(1, MOST_STARTS)]},
        match_related={"prefect.resource.role": "flow", "prefect.resource.name": list(_BATCHES)},
    )
    again = ChangeFlowRunState(
        state=StateType.SCHEDULED, name="AwaitingRetry", message="the batch crashed; it goes on"
    )
    return [
        Automation(
            name="agg2exp: silent runs are crashed",
            description="The batch that sent such a run sends its scans again.",
            trigger=_silence(after={_HEARTBEAT, running}, expect={_HEARTBEAT}, seconds=silent_s),
            actions=[_crashed(f"no sign of life for {silent_s} s")],
        ),
        Automation(
            name="agg2exp: runs that do not begin are crashed",
            description="Their process ended, and so did the worker that would have told.",
            trigger=_silence(after={_PENDING}, expect={running}, seconds=BEGIN_S),
            actions=[_crashed(f"did not begin within {BEGIN_S} s")],
        ),
        Automation(
            name="agg2exp: processes that do not begin are crashed",
            description="As the runs that do not begin, on pools whose workers start processes.",
            trigger=_silence(
                after={_PENDING},
                expect={running},
                seconds=PROCESS_BEGINS_S,
                match_related={"prefect.resource.role": "work-pool", "prefect.work-pool.type": "process"},
            ),
            actions=[_crashed(f"did not begin within {PROCESS_BEGINS_S} s")],
        ),
        Automation(
            name="agg2exp: crashed batches go on",
            description=f"At most {MOST_STARTS} starts; the runs that it had sent are found again.",
            trigger=batch_crashed,
            actions=[again],
        ),
    ]


def _silence(
    after: set[str],
    expect: set[str],
    seconds: float,
    match: dict[str, str | list[str]] = _RUN,
    match_related: dict[str, str | list[str]] | None = None,
) -> EventTrigger:
    """Return what fires when a run that gave a sign neither gives another nor ends."""
    return EventTrigger(
        after=after,
        expect=expect | _LAST_SIGNS,
        match=match,
        match_related=match_related or {},
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=seconds),
    )


def _crashed(message: str) -> ChangeFlowRunState:
    return ChangeFlowRunState(state=StateType.CRASHED, message=message)


def apply_automation(wanted: Automation) -> None:
    """Create an automation, or bring the one of its name up to date."""
    try:
        known = cast(Automation, Automation.read(name=wanted.name))
    except ValueError:
        wanted.create()
        return
    known.description, known.trigger, known.actions = wanted.description, wanted.trigger, wanted.actions
    known.update()
