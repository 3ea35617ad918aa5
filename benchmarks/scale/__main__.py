"""Print the tables: ``python -m benchmarks.scale``, with ``--help`` for less of them."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from agg2exp_core.pipeline.settings import ExplainSettings
from benchmarks.scale import archive, backfill, weak
from benchmarks.scale.batches import deploy
from benchmarks.scale.service import Server, serving
from benchmarks.scale.sleeper import write_cohort
from benchmarks.timing import Row, print_table
from tests.services.postgres import Postgres, postgres


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Parameters
    ----------
    n_workers : tuple of int
        Points of weak scaling; the backfill takes two workers, or the most of these if that is less.
    scans_a_worker : int
        Scans of a worker in weak scaling, all in one run.
    seconds_a_scan : float
        That the stand-in sleeps.
    n_backfill, scans_per_run : int
        Scans of the backfill, and of one run of it.
    n_known, n_new : int
        Scans of the archive, and those that came since.
    """

    n_workers: tuple[int, ...]
    scans_a_worker: int
    seconds_a_scan: float
    n_backfill: int
    scans_per_run: int
    n_known: int
    n_new: int


FULL = Size(
    (1, 2, 4, 8),
    scans_a_worker=4,
    seconds_a_scan=120.0,
    n_backfill=1000,
    scans_per_run=50,
    n_known=100_000,
    n_new=100,
)
QUICK = Size(
    (1, 2), scans_a_worker=1, seconds_a_scan=0.5, n_backfill=20, scans_per_run=10, n_known=50, n_new=3
)


@contextmanager
def service(folder: Path, model: Path) -> Iterator[tuple[Postgres, Server]]:
    """Have a new server on a new database with all deployments."""
    with postgres() as database, serving(folder / "server", database.url) as server:
        deploy(ExplainSettings(store=str(folder / "store"), model=str(model)))
        yield database, server


def measure_weak(folder: Path, size: Size) -> list[weak.Point]:
    """Measure weak scaling in an empty folder."""
    model, scans = write_cohort(folder / "cohort", max(size.n_workers) * size.scans_a_worker)
    files = sorted(scans.iterdir())
    with service(folder, model):
        return [
            weak.measure(
                folder, model, files[: n * size.scans_a_worker], n, size.seconds_a_scan, size.scans_a_worker
            )
            for n in size.n_workers
        ]


def measure_backfill(folder: Path, size: Size) -> backfill.Backfill:
    """Measure a backfill in an empty folder."""
    model, scans = write_cohort(folder / "cohort", size.n_backfill)
    n_workers = min(2, max(size.n_workers))
    with service(folder, model) as (database, server):
        files = sorted(scans.iterdir())
        return backfill.measure(folder, model, files, n_workers, size.scans_per_run, database, server.url)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale")
    parser.add_argument("--quick", action="store_true", help="a few scans, for whether it runs")
    parser.add_argument("--part", choices=("weak", "backfill", "archive"), help="one of them")
    parser.add_argument("--scans", type=int, help="of the backfill, or of the archive")
    parser.add_argument("--seconds", type=float, help="that a scan of weak scaling takes")
    parser.add_argument("--workers", type=int, nargs="+", help="of weak scaling")
    parser.add_argument("--scans-per-run", type=int, help="of the backfill")
    options = parser.parse_args()
    size = QUICK if options.quick else FULL
    if options.scans is not None:
        size = replace(size, n_backfill=options.scans, n_known=options.scans)
    if options.seconds is not None:
        size = replace(size, seconds_a_scan=options.seconds)
    if options.workers is not None:
        size = replace(size, n_workers=tuple(options.workers))
    if options.scans_per_run is not None:
        size = replace(size, scans_per_run=options.scans_per_run)
    parts: dict[str, Callable[[Path], tuple[str, list[Row]]]] = {
        "archive": lambda folder: (
            "Archive",
            archive.rows(archive.measure(folder, size.n_known, size.n_new)),
        ),
        "backfill": lambda folder: ("Backfill", backfill.rows(measure_backfill(folder, size))),
        "weak": lambda folder: ("Weak scaling", weak.rows(measure_weak(folder, size))),
    }
    for name in [options.part] if options.part else parts:
        with tempfile.TemporaryDirectory() as folder:
            print_table(*parts[name](Path(folder)))


if __name__ == "__main__":
    main()
