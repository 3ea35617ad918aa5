"""What an engineer sees of batches: a real server, real workers, a real browser."""

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey, FlowRunFilter, FlowRunFilterName
from prefect.client.schemas.objects import FlowRun

from agg2exp.flows.server import embedded_server
from agg2exp.flows.server.environment import environment
from agg2exp_cli.__main__ import run
from agg2exp_core.store import open_store
from benchmarks.scale.service import workers
from tests.flows.cohort import write_model, write_scan

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

PATIENCE_S = 400.0
T = TypeVar("T")


@dataclass(frozen=True)
class Site:
    """A server with deployments and workers; `folder` holds scans, model and store."""

    url: str
    folder: Path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    write_scan(folder / "scans" / "s0.nii.gz", seed=0)
    write_scan(folder / "scans" / "s1.nii.gz", seed=1)
    (folder / "scans" / "torn.nii.gz").write_bytes(b"no image")
    words = [str(folder / "scans"), "--model", str(write_model(folder / "model")), "--device", "cpu"]
    settings = ["--method", "smoothgrad", "--set", "n_samples=100", "--label", "smoothgrad"]
    with environment({"PREFECT_API_URL": None}), embedded_server(folder / "state") as server:
        assert run(["deploy", *words, "--out", str(folder / "store"), *settings]) == 0
        with workers("cpu", "cpu", folder / "cpu.log"), workers("cpu", "gpu", folder / "gpu.log"):
            yield Site(server.ui_url, folder)


def until(found: Callable[[SyncPrefectClient], T], pause_s: float = 1.0) -> T:
    """Ask the server until it answers with something."""
    deadline = time.monotonic() + PATIENCE_S
    with get_client(sync_client=True) as client:
        while not (answer := found(client)):
            assert time.monotonic() < deadline
            time.sleep(pause_s)
        return answer


def named(name: str, *states: str) -> Callable[[SyncPrefectClient], list[FlowRun]]:
    """Look for the runs of a name, in some states."""

    def found(client: SyncPrefectClient) -> list[FlowRun]:
        chosen = FlowRunFilter(name=FlowRunFilterName(any_=[name]))
        return [run for run in client.read_flow_runs(flow_run_filter=chosen) if run.state_name in states]

    return found


def artifact(key: str) -> Callable[[SyncPrefectClient], UUID | None]:
    def found(client: SyncPrefectClient) -> UUID | None:
        chosen = ArtifactFilter(key=ArtifactFilterKey(like_=f"{key}%"))
        return next((made.id for made in client.read_artifacts(artifact_filter=chosen)), None)

    return found


def test_a_batch_from_its_run_to_its_pictures(site, page, picture):
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("explain-batch/nightly")
        sent = client.create_flow_run_from_deployment(deployment.id)

    progress = until(artifact("progress-s0"), pause_s=0.2)
    seen = set()
    deadline = time.monotonic() + 120
    while len(seen) < 2 and time.monotonic() < deadline:
        page.goto(f"{site.url}/artifacts/artifact/{progress}")
        seen.add(page.get_by_text(re.compile(r"Progress: \d+%")).inner_text())
    assert len(seen) == 2
    picture("progress")

    page.goto(f"{site.url}/runs")
    page.get_by_text("explain batch, smoothgrad", exact=True).first.wait_for()
    picture("runs")
    page.goto(f"{site.url}/runs/flow-run/{sent.id}")
    page.get_by_text("Subflow Runs", exact=True).click()
    part = page.get_by_role("link", name="explain smoothgrad, part").first
    part.wait_for()
    picture("batch")
    part.click()
    page.get_by_text("Subflow Runs", exact=True).click()
    page.get_by_text(re.compile("^s[01] smoothgrad$")).locator("visible=true").last.wait_for()

    (ended,) = until(named("explain batch, smoothgrad", "Completed", "Failed", "Crashed"))
    assert (ended.id, ended.state.message) == (sent.id, "2 of 3 scans explained")
    reason = open_store(site.folder / "store").failures()["torn"].reason
    page.goto(f"{site.url}/artifacts/artifact/{until(artifact('scans-smoothgrad'))}")
    page.get_by_role("cell").filter(has_text=reason[:40]).wait_for()
    picture("scans")
    page.goto(f"{site.url}/artifacts/artifact/{until(artifact('matrix-smoothgrad'))}")
    for name in ("left", "right", "middle"):
        page.get_by_role("cell").filter(has_text=re.compile(f"^{name}$")).first.wait_for()
    picture("matrix")
    page.goto(f"{site.url}/artifacts/artifact/{until(artifact('heat-map-smoothgrad'))}")
    drawn = page.locator("img[src^='data:image/png']")
    drawn.wait_for()
    assert drawn.evaluate("image => image.naturalWidth") > 300
    picture("heat_map")


def test_a_run_from_its_form_that_is_cancelled_leaves_no_process(site, page, picture):
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("explain-batch/backfill")
    page.goto(f"{site.url}/deployments/deployment/{deployment.id}/run")

    def field(label: str) -> object:
        around = page.locator("div.p-label", has=page.get_by_text(label, exact=True)).last
        return around.locator("textarea, input").first

    field("Params (Optional)").fill('{"n_samples": 100000}')
    field("Label (Optional)").fill("by-hand")
    field("Store").fill(str(site.folder / "other"))
    picture("form")
    page.get_by_role("button", name="Submit").click()

    (part,) = until(
        lambda client: [
            run
            for run in named("explain smoothgrad, part", "Running")(client)
            if run.parameters["settings"]["label"] == "by-hand"
        ]
    )
    assert part.parameters["settings"]["store"] == str(site.folder / "other")
    assert part.parameters["settings"]["params"] == {"n_samples": 100000}
    (batch,) = until(named("explain batch, smoothgrad", "Running"))
    pids = [int(run.infrastructure_pid) for run in (part, batch)]
    assert all(map(psutil.pid_exists, pids))

    page.goto(f"{site.url}/runs/flow-run/{batch.id}")
    page.get_by_role("button", name="Cancel").first.click()
    page.get_by_text("Cancel all sub flow runs").click()
    picture("cancel")
    page.get_by_role("button", name="Confirm").click()
    until(lambda client: {batch.id, part.id} <= {run.id for run in cancelled(client)})
    page.reload()
    page.get_by_text("Cancelled", exact=True).first.wait_for()
    picture("cancelled")
    assert not any(map(psutil.pid_exists, pids))
    engines = [
        process
        for process in psutil.process_iter(["cmdline"])
        if "prefect.engine" in (process.info["cmdline"] or ()) and belongs(process)
    ]
    assert engines == []


def cancelled(client: SyncPrefectClient) -> list[FlowRun]:
    names = ("explain batch, smoothgrad", "explain smoothgrad, part")
    return [run for name in names for run in named(name, "Cancelled")(client)]


def belongs(process: psutil.Process) -> bool:
    """Say whether a process descends from this one."""
    return os.getpid() in {parent.pid for parent in process.parents()}
