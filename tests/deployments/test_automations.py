"""How soon the server sees that a run is gone."""

from prefect.events.schemas.automations import EventTrigger, Posture

from agg2exp.deployments.automations import automations

SEEN_WITHIN_S = 120
ASKED_EVERY_S = 15


def triggers_of(action_state: str) -> list[EventTrigger]:
    return [made.trigger for made in automations() if made.actions[0].state.value == action_state]


def test_a_run_that_is_gone_is_seen_in_two_minutes_wherever_its_worker_starts_processes():
    on_processes = [
        trigger
        for trigger in triggers_of("CRASHED")
        if {"prefect.work-pool.type": "process"}.items() <= trigger.match_related.root.items()
        or "prefect.flow-run.heartbeat" in trigger.after
    ]
    assert {event for trigger in on_processes for event in trigger.after} == {
        "prefect.flow-run.Pending",
        "prefect.flow-run.Running",
        "prefect.flow-run.heartbeat",
    }
    for trigger in on_processes:
        assert trigger.posture == Posture.Proactive
        assert trigger.within.total_seconds() + ASKED_EVERY_S <= SEEN_WITHIN_S


def test_each_automation_has_a_name_of_its_own():
    names = [made.name for made in automations()]
    assert len(set(names)) == len(names)
