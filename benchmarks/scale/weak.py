"""Weak scaling: as many scans a worker, more and more workers."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter, FlowRunFilterStartTime
from prefect.client.schemas.objects import FlowRun

from agg2exp.flows.batch import PART
from agg2exp.flows.fan_out import Grain
from agg2exp_core.pipeline.settings import ExplainSettings
from benchmarks.scale.batches import run_batch, workplace
from benchmarks.scale.sleeper import REFERENCE
from benchmarks.timing import Row, once

FLOOR = 0.90
"""Of the ideal time, while compute dominates."""


@dataclass(frozen=True)
class Point:
    """A batch on some workers.

    Parameters
    ----------
    n_workers, n_runs, n_scans : int
        Workers, runs of a part, and scans that were explained.
    seconds_a_scan : float
        That the method sleeps.
    wall_s : float
        From asking for the batch to its end.
    """

    n_workers: int
    n_runs: int
    n_scans: int
    seconds_a_scan: float
    wall_s: float

    @property
    def ideal_s(self) -> float:
        """Seconds of sleeping alone."""
        return self.n_scans * self.seconds_a_scan / self.n_workers

    @property
    def share(self) -> float:
        """Of the ideal time in the wall time."""
        return self.ideal_s / self.wall_s

    @property
    def overhead_s(self) -> float:
        """Seconds of workers that were not slept."""
        return (self.wall_s - self.ideal_s) * self.n_workers


def parts_since(client: SyncPrefectClient, began: FlowRun) -> list[FlowRun]:
    """Return the runs of parts since a batch began."""
    return client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[PART])),
        flow_run_filter=FlowRunFilter(start_time=FlowRunFilterStartTime(after_=began.start_time)),
    )


def measure(
    folder: Path,
    model: Path,
    scans: Sequence[Path],
    n_workers: int,
    seconds_a_scan: float,
    scans_per_run: Grain,
) -> Point:
    """Explain scans with workers, and return how long that took."""
    settings = ExplainSettings(
        store=str(folder / f"store-{n_workers}"),
        model=str(model),
        method=REFERENCE,
        params={"seconds": seconds_a_scan},
        device="cpu",
        voxels=False,
    )
    with workplace(n_workers, folder / "workers.log"), get_client(sync_client=True) as client:
        started = time.monotonic()
        batch = run_batch(scans, settings, scans_per_run)
        wall_s = time.monotonic() - started
        n_runs = len(parts_since(client, batch))
    return Point(n_workers, n_runs, len(scans), seconds_a_scan, wall_s)


def rows(points: Sequence[Point]) -> list[Row]:
    """Return the rows of a table."""
    found = []
    for point in points:
        what = f"{point.n_workers} workers, {point.n_scans} scans in {point.n_runs} runs"
        found += [
            once(f"{what}: share of the ideal time", point.share, at_least=FLOOR),
            once(f"{what}: seconds beside compute, a run", point.overhead_s / point.n_runs),
            once(f"{what}: seconds beside compute, a scan", point.overhead_s / point.n_scans),
            once(f"{what}: wall time, s", point.wall_s),
        ]
    found.append(once("load of the machine over the last minute", os.getloadavg()[0]))
    return found
