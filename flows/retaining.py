"""The command `retention`, joined to the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli import Debug, State

if TYPE_CHECKING:
    from tasks.retention_settings import RetentionSettings, RetentionSummary


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(retention)


def retention(
    store: Annotated[str, typer.Argument(help="Store of explained scans.")],
    keep_days: Annotated[float, typer.Option("--keep-days", help="Voxels finished longer ago go.")],
    label: Annotated[list[str] | None, typer.Option("--label", help="Which results; all by default.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    state: State = None,
    debug: Debug = False,
) -> int:
    """Drop the voxels of old attributions; their matrices stay."""
    from flows.checks import labels_of
    from tasks.retention_settings import RetentionSettings

    settings = RetentionSettings(store, keep_days, labels_of(store, label) if label else None, dry_run)
    return run_retention(settings, state)


def run_retention(settings: RetentionSettings, state: Path | None) -> int:
    """Run the flow; return the exit code."""
    from agg2exp_core.store import open_store
    from flows.launch import carry_out, served

    open_store(settings.store)
    with served(state):
        from flows.retention import retention as flow

        summary = carry_out(flow, settings)
    return conclude(summary)


def conclude(summary: RetentionSummary) -> int:
    """Print how each scan fared; return the exit code."""
    from rich.table import Table

    from flows.exit_codes import DONE, NOTHING, SOME_FAILED
    from flows.launch import console

    table = Table(title="retention of " + summary.settings.store)
    for heading in ("scan", "status", "dropped", "kept", "MB", "reason"):
        table.add_column(heading)
    for scan in summary.scans:
        numbers = (str(scan.n_dropped), str(scan.n_kept), f"{scan.n_bytes / 1e6:.1f}")
        table.add_row(scan.scan_id, scan.status, *numbers, scan.reason)
    console.print(table if summary.scans else "no scans")
    console.print(summary.said, soft_wrap=True)
    n_failed = sum(scan.status == "failed" for scan in summary.scans)
    if not n_failed:
        return DONE
    return SOME_FAILED if n_failed < len(summary.scans) else NOTHING
