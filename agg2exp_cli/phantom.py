"""The command `phantom`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agg2exp_cli.app import command_app
from agg2exp_cli.options import Debug

app = command_app()


@app.command(epilog="Cohorts: training, reference, test, hospital, failures (docs/phantom.md).")
def phantom(
    cohort: Annotated[str, typer.Argument(help="Name of the cohort.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the tree.")],
    n: Annotated[int | None, typer.Option("--n", help="Scans; each cohort has a number of its own.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Another cohort of that name.")] = 0,
    spacing_mm: Annotated[float, typer.Option("--spacing", help="Edge of a voxel in mm, 0.5 to 8.")] = 4.0,
    debug: Debug = False,
) -> int:
    """Write a cohort of synthetic scans with their truth, as a tree like TotalSegmentator's."""
    from rich.console import Console
    from rich.progress import track

    from agg2exp_cli.exit_codes import DONE
    from agg2exp_core.phantom import members, write_tree

    console = Console(highlight=False)
    n_scans = len(members(cohort, n, seed))
    written = write_tree(cohort, out, n=n, seed=seed, spacing_mm=spacing_mm)
    for _ in track(written, f"cohort {cohort}", total=n_scans, console=console, transient=True):
        pass
    console.print(f"{n_scans} scans of the cohort {cohort}: {out}", soft_wrap=True)
    return DONE
