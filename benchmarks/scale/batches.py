"""Batches of the stand-in on real workers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment

from agg2exp.deployments.applying import apply
from agg2exp.deployments.catalogue import Service, catalogue
from agg2exp.flows.batch import PARTS_POOL
from agg2exp.flows.fan_out import Grain
from agg2exp.flows.partition import n_online
from agg2exp_core.pipeline.settings import ExplainSettings
from benchmarks.scale.service import workers

HEARD_S = 300.0


def deploy(settings: ExplainSettings) -> None:
    """Bring the server to what the catalogue says."""
    for _ in apply(catalogue(Service.of(settings))):
        pass


@contextmanager
def workplace(n_workers: int, log: Path) -> Iterator[None]:
    """Have workers for parts, and one for batches, once the server has heard of all."""
    with (
        workers(f"cpu:{n_workers}", PARTS_POOL, log),
        workers("cpu", "cpu", log),
        get_client(sync_client=True) as client,
    ):
        deadline = time.monotonic() + HEARD_S
        while n_online(client, PARTS_POOL) < n_workers or n_online(client, "cpu") < 1:
            if time.monotonic() > deadline:
                raise RuntimeError(log.read_text()[-2000:])
            time.sleep(0.5)
        yield


def run_batch(scans: Sequence[Path], settings: ExplainSettings, scans_per_run: Grain) -> FlowRun:
    """Run the deployed batch, and return its run once it explained all scans.

    Raises
    ------
    RuntimeError
        If it did not.
    """
    run = run_deployment(
        "explain-batch/backfill",
        parameters={
            "scans": [str(scan) for scan in scans],
            "settings": settings.model_dump(mode="json"),
            "scans_per_run": scans_per_run,
            "queue": "backfill",
        },
        as_subflow=False,
        poll_interval=1,
    )
    if run.state is None or run.state.message != f"{len(scans)} of {len(scans)} scans explained":
        raise RuntimeError(f"the batch ended as {run.state!r}")
    return run
