"""Run a flow with a server, show how far it is, end in a short table."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from agg2exp.flows.server import embedded_server, wait_until_recorded
from agg2exp_cli.exit_codes import DONE, NOTHING, SOME_FAILED
from agg2exp_core.pipeline.outcomes import ScanJob
from agg2exp_core.pipeline.plan import Plan

console = Console(highlight=False)


def show_errors(plan: Plan) -> None:
    """Name the scans that cannot be used."""
    for error in plan.errors:
        print(f"error: {error}", file=sys.stderr)


def show_set_aside(summary: Any, jobs: Sequence[ScanJob]) -> None:
    """Name the scans that cannot be used, which only their voxels told."""
    paths = {job.scan_id: job.path for job in jobs}
    for outcome in summary.outcomes:
        if outcome.status == "rejected" and outcome.scan_id in paths:
            print(f"error: {paths[outcome.scan_id]}: {outcome.reason}", file=sys.stderr)


def print_summary(summary: Any, unit: str = "attributions") -> int:
    """Print how each scan fared and what the run says; return the exit code."""
    table = Table(
        title=f"{summary.label}: {summary.n_done} of {len(summary.outcomes)} scans",
        caption=f"{summary.counts}: complete before, their files unchanged" if summary.n_kept else None,
    )
    for heading in ("scan", "status", "classes", "computed", "kept", "seconds", "reason"):
        table.add_column(heading, justify="left" if heading in ("scan", "status", "reason") else "right")
    for outcome in summary.outcomes:
        table.add_row(
            outcome.scan_id,
            outcome.status,
            str(outcome.n_classes),
            str(outcome.n_computed),
            str(outcome.n_kept),
            f"{outcome.seconds:.1f}",
            outcome.reason,
        )
    console.print(table if summary.outcomes else summary.counts)
    n_computed = sum(outcome.n_computed for outcome in summary.outcomes)
    n_kept = sum(outcome.n_kept for outcome in summary.outcomes)
    cohort = f"{summary.n_cohort} scans in {summary.store}/importance.zarr, group {summary.label}"
    counts = f"computed {n_computed} {unit}, kept {n_kept}"
    console.print(f"{counts}; {cohort}" if summary.n_cohort else counts, soft_wrap=True)
    if summary.n_done == len(summary.outcomes):
        return DONE
    return SOME_FAILED if summary.n_done or summary.n_kept else NOTHING


@contextmanager
def served(state: Path | None) -> Iterator[None]:
    """Have a Prefect server while the context lasts, and say where its UI is."""
    # Failures are told in the table, and in full in the UI.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    with console.status("starting the Prefect server"):
        server = embedded_server(state)
        running = server.__enter__()
    try:
        console.print(f"Prefect UI while this runs: {running.ui_url}  (later: agg2exp ui)", soft_wrap=True)
        yield
    finally:
        server.__exit__(*sys.exc_info())


def carry_out(flow: Any, *arguments: Any) -> Any:
    """Run a flow with a bar of its progress; return its result once all of it is recorded."""
    from agg2exp.tasks.progress import Step, listening

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("preparing", total=1.0)

        def show(step: Step) -> None:
            progress.update(bar, description=f"{step.scan_id}: {step.stage}", completed=step.share)
            if step.share >= 1 and not console.is_terminal:
                console.print(f"{step.scan_id}: {step.stage} done", soft_wrap=True)

        with listening(show):
            final = flow(*arguments, return_state=True)
        progress.update(bar, description="recording", completed=1.0)
        wait_until_recorded(final.state_details.flow_run_id)
    return final.result()
