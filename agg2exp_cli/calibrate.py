"""The command `calibrate`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from agg2exp_cli.app import command_app
from agg2exp_cli.options import Debug, Given, with_options
from agg2exp_core.pipeline.settings import CalibrateSettings

app = command_app()


@app.command(epilog="OUT/quality.json is for `agg2exp analyse --quality`; docs/analyses.md describes it.")
@with_options(CalibrateSettings)
def calibrate(
    given: Given,
    scans: Annotated[
        list[str], typer.Argument(help="Files or folders of scans that the model handles well.")
    ],
    debug: Debug = False,
) -> int:
    """Learn what a model's doubt says of its Dice, from scans that it handles, corrupted in many ways."""
    settings = given.make(CalibrateSettings)
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Table

    from agg2exp_cli.exit_codes import DONE, SOME_FAILED
    from agg2exp_cli.running import console
    from agg2exp_core.models import check_reference
    from agg2exp_core.pipeline.calibrate import FILE
    from agg2exp_core.pipeline.calibrate import calibrate as carry_out
    from agg2exp_core.pipeline.outcomes import ScanJob
    from agg2exp_core.quality.calibration import LEVELS
    from agg2exp_core.volumes import find_scans

    check_reference(settings.model)
    found, errors = find_scans(scans)
    jobs = [ScanJob(scan.scan_id, str(scan.path)) for scan in found]
    for error in errors:
        print(f"error: {error}", file=sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("segmenting corrupted scans", total=1.0)
        done = carry_out(jobs, settings, lambda n, total: progress.update(bar, completed=n / total))
    for bad in done.rejected:
        print(f"error: {bad.scan_id}: {bad.reason}", file=sys.stderr)
    table = Table(title=f"{done.quality.model_name}: {done.quality.n_scans} scans, {done.n_kept} done before")
    table.add_column("class")
    table.add_column("usual predicted Dice", justify="right")
    for name, of_class in done.quality.classes.items():
        table.add_row(name, f"{of_class.scale * of_class.usual:.2f}")
    console.print(table)
    widths = (
        f"{margin:.2f} from {level:g} on" for level, margin in zip(LEVELS, done.quality.margins, strict=True)
    )
    console.print(f"the bound lies under a predicted Dice by {', '.join(widths)}", soft_wrap=True)
    if not done.quality.scaled:
        console.print("clean segmentations count as perfect: give --dice to scale them", soft_wrap=True)
    console.print(f"learnt: {settings.out}/{FILE}", soft_wrap=True)
    return SOME_FAILED if errors or done.rejected else DONE
