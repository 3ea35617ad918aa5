"""A batch on real workers, that of a schedule's deployment: what a hospital runs every night."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterTags,
)
from prefect.deployments import run_deployment

from agg2exp.deployments.applying import apply
from agg2exp.deployments.catalogue import Service, catalogue
from agg2exp.flows.explain import explain
from agg2exp_core import open_store
from agg2exp_core.pipeline.benchmark_settings import BenchmarkSettings
from agg2exp_core.pipeline.outcomes import ScanJob
from agg2exp_core.pipeline.settings import ExplainSettings
from tests.flows.cohort import arrays, write_model, write_scan
from tests.flows.conftest import prefect_server  # noqa: F401

pytestmark = [pytest.mark.service, pytest.mark.usefixtures("prefect_server")]


@contextmanager
def workers(devices: str, pool: str) -> Iterator[None]:
    words = [sys.executable, "-m", "agg2exp_cli", "worker", "--devices", devices, "--pool", pool]
    process = subprocess.Popen(words, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def settings_of(folder: Path, store: Path) -> ExplainSettings:
    model = str(folder / "model")
    return ExplainSettings(store=str(store), model=model, method="vanilla_gradient", device="cpu")


def deployed(folder: Path, store: Path, cron: str | None = None) -> list[str]:
    write_model(folder / "model")
    when = {"cron": cron, "timezone": "Europe/Warsaw"}
    service = Service.of(settings_of(folder, store), scans=[str(folder / "scans")], **when)
    return list(apply(catalogue(service)))


def test_deploying_twice_changes_nothing(tmp_path):
    (tmp_path / "scans").mkdir()
    with get_client(sync_client=True) as client:
        first = deployed(tmp_path, tmp_path / "store", "0 2 * * *")
        before = client.read_deployment_by_name("explain-batch/nightly")
        assert deployed(tmp_path, tmp_path / "store", "0 2 * * *") == first
        after = client.read_deployment_by_name("explain-batch/nightly")
        queue = client.read_work_queue_by_name("nightly", work_pool_name="gpu")
    assert (after.id, after.parameters) == (before.id, before.parameters)
    assert [s.schedule.cron for s in after.schedules] == ["0 2 * * *"]
    assert after.schedules[0].schedule.timezone == "Europe/Warsaw"
    assert queue.priority == 1


def benchmarked(folder: Path) -> BenchmarkSettings:
    return BenchmarkSettings(
        store=str(folder / "far"),
        model=str(folder / "model"),
        methods=["vanilla_gradient"],
        metrics=["complexity", "roi_faithfulness"],
        device="cpu",
    )


def kill_one(flow_name: str) -> list[int]:
    """Kill the process of a run of a flow that is at work, as a machine that goes down would."""
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[flow_name])),
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(name={"any_": ["Running"]})),
        )
    pids = [int(run.infrastructure_pid.split(":")[-1]) for run in runs if run.infrastructure_pid][:1]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return pids


@pytest.mark.timeout(1200)
def test_a_batch_on_two_workers_one_run_killed_equals_one_process(tmp_path):
    for seed in range(3):
        write_scan(tmp_path / "scans" / f"s{seed}.nii.gz", seed=seed)
    (tmp_path / "scans" / "bad.nii.gz").write_bytes(b"no image")
    deployed(tmp_path, tmp_path / "far")
    with workers("cpu:2", "gpu"), workers("cpu", "cpu"):
        run = run_deployment("explain-batch/nightly", timeout=0, as_subflow=False)
        with get_client(sync_client=True) as client:
            killed: list[int] = []
            deadline = time.monotonic() + 480
            while not (run.state.is_completed() or run.state.is_failed()) and time.monotonic() < deadline:
                time.sleep(1)
                if not killed:
                    killed += kill_one("explain-part")
                run = client.read_flow_run(run.id)
        alone = run_deployment(
            "explain-batch/nightly",
            parameters={
                "scans": [str(tmp_path / "scans" / "s0.nii.gz")],
                "settings": settings_of(tmp_path, tmp_path / "cut").model_dump(mode="json"),
            },
            timeout=300,
            as_subflow=False,
        )
        with get_client(sync_client=True) as client:
            parts = client.read_flow_runs(
                flow_filter=FlowFilter(name=FlowFilterName(any_=["explain-part"])),
                flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=["s0"])),
            )
        judged = run_deployment(
            "benchmark-batch/benchmark",
            parameters={
                "scans": [str(tmp_path / "scans")],
                "settings": benchmarked(tmp_path).model_dump(mode="json"),
            },
            timeout=300,
            as_subflow=False,
        )
    assert run.state.is_completed(), run.state
    assert run.state.message == "3 of 4 scans explained"
    far = open_store(str(tmp_path / "far"))
    assert list(far.failures()) == ["bad"]
    assert len(killed) == 1

    jobs = [ScanJob(f"s{seed}", str(tmp_path / "scans" / f"s{seed}.nii.gz")) for seed in range(3)]
    assert judged.state.is_completed(), judged.state
    assert judged.state.message == "3 of 4 scans benchmarked"
    scores = pd.read_parquet(tmp_path / "far" / "benchmark.parquet")
    assert set(scores["scan"]) == {"s0", "s1", "s2"}
    assert set(scores["metric"]) == {"complexity", "roi_faithfulness"}

    explain(jobs, settings_of(tmp_path, tmp_path / "near"))
    assert arrays(tmp_path / "far") == arrays(tmp_path / "near")

    assert alone.state.message == "1 of 1 scans explained"
    cut = [part.parameters["settings"]["classes"] for part in parts if part.parameters["settings"]["classes"]]
    assert sorted(cut) == [["background", "right"], ["left", "middle"]]
    explain(jobs[:1], settings_of(tmp_path, tmp_path / "whole"))
    assert arrays(tmp_path / "cut") == arrays(tmp_path / "whole")
