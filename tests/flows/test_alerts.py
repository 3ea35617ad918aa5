"""Scans that fail or are quarantined raise events, once, that an automation can carry to a person."""

import time
from datetime import timedelta

import pytest
from prefect.automations import Automation
from prefect.client.orchestration import get_client
from prefect.events.actions import RunDeployment
from prefect.events.schemas.automations import EventTrigger, Posture

from agg2exp.flows import alerts
from agg2exp_cli.__main__ import run
from agg2exp_core.pipeline.outcomes import Alert, Rejected, record_failure, record_rejected
from agg2exp_core.store import open_store
from tests.flows.cohort import write_scan


@pytest.fixture
def emitted(monkeypatch):
    found = []
    monkeypatch.setattr(
        alerts, "emit_event", lambda event, resource, payload: found.append((event, resource, payload))
    )
    return found


def test_what_is_known_is_told_once(tmp_path, emitted):
    store = open_store(tmp_path / "store", create=True)
    for reason in ("no memory", "no memory", "no disk"):
        record_failure(store, Alert("s1", "explain", reason), alerts.alert)
    for _ in range(2):
        record_rejected(store, [Rejected("s2", "an empty file")], alerts.alert)
    assert [(event, payload["scan"], payload["reason"]) for event, _, payload in emitted] == [
        (alerts.SCAN_FAILED, "s1", "no memory"),
        (alerts.SCAN_FAILED, "s1", "no disk"),
        (alerts.SCAN_QUARANTINED, "s2", "an empty file"),
    ]
    assert emitted[0][1] == {"prefect.resource.id": "agg2exp.scan.s1", "prefect.resource.name": "s1"}
    assert store.failure("s1").reason == "no disk"
    assert store.failure("s3") is None


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("event", [alerts.SCAN_QUARANTINED])
def test_an_event_reaches_an_automation(tmp_path, monkeypatch, event):
    """The server itself hears of a bad series that `ingest` met, and does what an automation says."""
    monkeypatch.setenv("AGG2EXP_IDENTITY_KEY", "0123456789abcdef0123456789abcdef")
    with get_client(sync_client=True) as client:
        flow_id = client.create_flow_from_name("told")
        deployment = client.create_deployment(flow_id, name="told", parameters={})
        Automation(
            name="told",
            trigger=EventTrigger(
                expect={event},
                match={"prefect.resource.id": "agg2exp.scan.*"},
                posture=Posture.Reactive,
                threshold=1,
                within=timedelta(0),
            ),
            actions=[RunDeployment(source="selected", deployment_id=deployment, parameters={})],
        ).create()
        write_scan(tmp_path / "drop" / "good.nii.gz")
        (tmp_path / "drop" / "bad.nii.gz").write_bytes(b"no scan")
        words = ["ingest", str(tmp_path / "drop"), "--into", str(tmp_path / "in"), "--settle", "0.05"]
        assert run(words) == 3
        deadline = time.monotonic() + 60
        runs = []
        while not runs and time.monotonic() < deadline:
            runs = [made for made in client.read_flow_runs() if made.deployment_id == deployment]
            time.sleep(0.5)
    assert len(runs) == 1
