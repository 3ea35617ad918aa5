"""Backfill: many scans by two methods, while somebody looks at the pages of the UI."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agg2exp_core import attribute, load_model, local_importance, predict
from agg2exp_core.pipeline.settings import ExplainSettings
from agg2exp_core.volumes import load_scan
from benchmarks.scale.batches import run_batch, workplace
from benchmarks.scale.pages import Visitor
from benchmarks.scale.sleeper import REFERENCE
from benchmarks.timing import Row, once
from tests.services.postgres import Postgres

METHODS = ("vanilla_gradient", REFERENCE)
TABLES = ("flow_run", "flow_run_state", "task_run", "task_run_state", "events", "log", "artifact")
N_ALONE = 20
"""Scans that are explained without Prefect, for what a unit costs by itself."""


@dataclass(frozen=True)
class Backfill:
    """How a backfill went.

    Parameters
    ----------
    n_workers, n_units : int
        Workers, and scans times methods.
    wall_s : float
        From asking for the first batch to the end of the last.
    alone_s : float
        Of a unit in one process without Prefect.
    n_rows : dict of str to int
        Rows of tables of the server's database.
    visitor : Visitor
        Who looked at the pages meanwhile.
    """

    n_workers: int
    n_units: int
    wall_s: float
    alone_s: float
    n_rows: dict[str, int]
    visitor: Visitor

    @property
    def unit_s(self) -> float:
        """Seconds of a worker for a unit."""
        return self.wall_s * self.n_workers / self.n_units


def measure(
    folder: Path,
    model: Path,
    scans: Sequence[Path],
    n_workers: int,
    scans_per_run: int,
    database: Postgres,
    api_url: str,
) -> Backfill:
    """Explain scans by each method with workers, and return how that went."""
    base = ExplainSettings(store=str(folder / "store"), model=str(model), device="cpu", voxels=False)
    alone_s = _alone(model, scans[:N_ALONE])
    with workplace(n_workers, folder / "workers.log"), Visitor(api_url) as visitor:
        started = time.monotonic()
        for method in METHODS:
            run_batch(scans, base.model_copy(update={"method": method}), scans_per_run)
        wall_s = time.monotonic() - started
    n_rows = {table: int(database.query(f"select count(*) from {table}")[0][0]) for table in TABLES}
    return Backfill(n_workers, len(scans) * len(METHODS), wall_s, alone_s, n_rows, visitor)


def _alone(model_ref: Path, paths: Sequence[Path]) -> float:
    """Return the seconds of a unit in this process: read, segment, explain, reduce; nothing is stored."""
    model = load_model(str(model_ref), "cpu")
    started = time.monotonic()
    for method in METHODS:
        for path in paths:
            scan = load_scan(path, model)
            prediction = predict(model, scan)
            local_importance(attribute(model, scan, method, prediction=prediction), prediction)
    return (time.monotonic() - started) / (len(paths) * len(METHODS))


def rows(backfill: Backfill) -> list[Row]:
    """Return the rows of a table."""
    what = f"{backfill.n_units:,} units on {backfill.n_workers} workers"
    return [
        once(f"{what}: wall time, s", backfill.wall_s),
        once("a unit: seconds of a worker", backfill.unit_s),
        once("a unit: seconds alone, without Prefect", backfill.alone_s),
        once("a unit: seconds that Prefect and the fan-out add", backfill.unit_s - backfill.alone_s),
        *(once(f"rows of {table}", n) for table, n in backfill.n_rows.items()),
        *backfill.visitor.rows(),
    ]
