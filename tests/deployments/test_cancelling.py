"""A batch that is cancelled leaves nothing running and nothing waiting."""

import time

import psutil
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.deployments import run_deployment
from prefect.states import Cancelling

from agg2exp.flows.batch import PART
from agg2exp_core.pipeline.settings import ExplainSettings
from benchmarks.scale.batches import deploy
from benchmarks.scale.service import workers
from benchmarks.scale.sleeper import REFERENCE, write_cohort
from tests.flows.conftest import prefect_server  # noqa: F401

pytestmark = [pytest.mark.long, pytest.mark.timeout(600), pytest.mark.usefixtures("prefect_server")]

PATIENCE_S = 240.0


def until(found):
    """Ask again and again until there is an answer."""
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := found()):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    return answer


def test_parts_at_work_and_parts_that_wait_are_cancelled(tmp_path):
    model, scans = write_cohort(tmp_path / "cohort", 3)
    settings = ExplainSettings(
        store=str(tmp_path / "store"),
        model=str(model),
        method=REFERENCE,
        params={"seconds": 3600.0},
        device="cpu",
    )
    deploy(settings)
    log = tmp_path / "log"
    with (
        workers("cpu", "gpu", log),
        workers("cpu", "cpu", log),
        get_client(sync_client=True) as client,
    ):
        batch = run_deployment(
            "explain-batch/backfill",
            parameters={"scans": [str(scans)], "settings": settings.model_dump(mode="json")},
            timeout=0,
            as_subflow=False,
        )

        def parts():
            found = client.read_flow_runs(flow_filter=FlowFilter(name=FlowFilterName(any_=[PART])))
            return found if len(found) == 3 else []

        def running():
            return [run for run in parts() if run.state.is_running()]

        (at_work,) = until(running)
        pids = [int(client.read_flow_run(run.id).infrastructure_pid) for run in (at_work, batch)]
        assert all(map(psutil.pid_exists, pids))
        client.set_flow_run_state(batch.id, Cancelling())
        until(lambda: all(run.state.is_cancelled() for run in [client.read_flow_run(batch.id), *parts()]))
        until(lambda: not any(map(psutil.pid_exists, pids)))
