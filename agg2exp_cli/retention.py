"""The command `retention`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agg2exp_cli.app import command_app
from agg2exp_cli.options import Debug, Given, State, with_options
from agg2exp_core.pipeline.settings import RetentionSettings

if TYPE_CHECKING:
    from agg2exp_core.pipeline.retention import RetentionSummary

app = command_app()


@app.command()
@with_options(RetentionSettings, arguments=["store"])
def retention(given: Given, state: State = None, debug: Debug = False) -> int:
    """Drop the voxels of old attributions; their matrices stay."""
    settings = given.make(RetentionSettings)
    from agg2exp_cli.running import carry_out, served
    from agg2exp_core.pipeline.lookup import labels_of
    from agg2exp_core.store import open_store

    open_store(settings.store)
    if settings.labels:
        labels_of(settings.store, settings.labels)
    with served(state):
        from agg2exp.flows.retention import retention as flow

        summary = carry_out(flow, settings)
    return print_retention(summary)


def print_retention(summary: RetentionSummary) -> int:
    """Print how each scan fared; return the exit code."""
    from rich.table import Table

    from agg2exp_cli.exit_codes import DONE, NOTHING, SOME_FAILED
    from agg2exp_cli.running import console

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
