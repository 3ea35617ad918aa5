"""The command `report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agg2exp_cli.app import command_app
from agg2exp_cli.options import Debug

app = command_app()


@app.command()
def report(
    store: Annotated[str, typer.Argument(help="Store of explained scans.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.")] = Path("report"),
    label: Annotated[
        list[str] | None, typer.Option("--label", help="Results to show (again for more); all by default.")
    ] = None,
    volumes: Annotated[
        str, typer.Option("--volumes", help="Scans whose voxels are shown: all, flagged or none.")
    ] = "all",
    scan: Annotated[
        list[str] | None,
        typer.Option(
            "--scan", help="Scan that gets a page in any case, where there are many (again for more)."
        ),
    ] = None,
    debug: Debug = False,
) -> int:
    """Write pages that open from a disk: the cohort, and each scan with its volume."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Table

    from agg2exp_cli.exit_codes import DONE
    from agg2exp_cli.running import console
    from agg2exp_core.pipeline.lookup import labels_of
    from agg2exp_core.report.cohort_page import write_report
    from agg2exp_core.store import open_store

    opened, chosen = open_store(store), labels_of(store, label)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("preparing", total=1.0)

        def show(what: str, share: float) -> None:
            progress.update(bar, description=what, completed=share)

        n_pages = write_report(opened, chosen, out, volumes=volumes, scans=scan or [], listen=show)
    n_bytes = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    table = Table("labels", "pages", "MB", title="report")
    table.add_row(", ".join(chosen), str(n_pages), f"{n_bytes / 1e6:.1f}")
    console.print(table)
    console.print(f"open file://{(out / 'index.html').absolute()}", soft_wrap=True)
    return DONE
