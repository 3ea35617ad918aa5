"""What the server does by itself: a run whose machine went down is seen as crashed."""

from __future__ import annotations

from datetime import timedelta

from prefect.automations import Automation
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture

HEARTBEAT_S = 30
"""Between two signs of life of a run: the shortest that Prefect takes."""

MISSED = 3
"""Signs of life in a row that a crashed run misses; fewer would take live runs for crashed."""

_LAST_SIGNS = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")}


def automations() -> list[Automation]:
    """Return all automations."""
    heartbeat = "prefect.flow-run.heartbeat"
    silent = EventTrigger(
        after={heartbeat},
        expect={heartbeat, *_LAST_SIGNS},
        match={"prefect.resource.id": "prefect.flow-run.*"},
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=MISSED * HEARTBEAT_S),
    )
    crashed = ChangeFlowRunState(
        state=StateType.CRASHED, message=f"no sign of life for {MISSED * HEARTBEAT_S} s"
    )
    return [
        Automation(
            name="agg2exp: silent runs are crashed",
            description="The batch that sent such a run sends its scans again.",
            trigger=silent,
            actions=[crashed],
        )
    ]


def apply_automation(wanted: Automation) -> None:
    """Create an automation, or bring the one of its name up to date."""
    try:
        there = Automation.read(name=wanted.name)
    except ValueError:
        wanted.create()
        return
    there.description, there.trigger, there.actions = wanted.description, wanted.trigger, wanted.actions
    there.update()
