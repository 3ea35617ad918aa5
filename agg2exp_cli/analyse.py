"""The command `analyse`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from agg2exp_cli.app import command_app
from agg2exp_cli.options import Debug, Given, State, with_options
from agg2exp_core.pipeline.settings import AnalyseSettings

app = command_app()

N_SHOWN = 10
"""Flagged scans in the table; the files hold all."""


@app.command(epilog="Findings go to STORE/analysis/LABEL; docs/analyses.md describes each file.")
@with_options(AnalyseSettings, arguments=["store"])
def analyse(
    given: Given,
    import_csv: Annotated[
        Path | None,
        typer.Option("--import-csv", help="Table in the paper's column scheme to put into the store first."),
    ] = None,
    state: State = None,
    debug: Debug = False,
) -> int:
    """Find abnormal scans and why, compare cohorts, draw pictures of the matrices."""
    settings = given.make(AnalyseSettings)
    from agg2exp_cli.running import carry_out, served
    from agg2exp_core.pipeline.analyse import IMPORTED, import_table
    from agg2exp_core.pipeline.evidence import evidence_of
    from agg2exp_core.pipeline.lookup import only_label
    from agg2exp_core.report.output import ReportFolder

    settings.analysis  # noqa: B018  checks the numbers
    if import_csv is not None:
        import_table(settings.store, import_csv, settings.label or IMPORTED)
        settings = settings.model_copy(update={"label": settings.label or IMPORTED})
    settings = settings.model_copy(update={"label": only_label("--method", settings.store, settings.label)})
    evidence_of(settings)
    if settings.report is not None:
        ReportFolder(Path(settings.report))  # checks that it may be written
    with served(state):
        from agg2exp.flows.analyse import analyse as flow

        summary = carry_out(flow, settings)
    return print_findings(settings, summary)


def print_findings(settings: AnalyseSettings, summary: dict[str, Any]) -> int:
    """Print the flagged scans and what could not be said; return the exit code."""
    from rich.table import Table

    from agg2exp_cli.exit_codes import DONE
    from agg2exp_cli.running import console
    from agg2exp_core.pipeline.analyse import flagged_scans
    from agg2exp_core.pipeline.cache import store_of

    if "scans.csv" in summary["files"]:
        flagged = flagged_scans(store_of(settings.store), settings.folder)
        told = f"{summary['n_flagged']} of {summary['n_scans']} scans are abnormal"
        table = Table(title=f"{settings.label}: {told}, of {summary['n_unsure']} the model is unsure")
        for heading in ("scan", "flags", "score", "p", "reasons"):
            table.add_column(heading)
        for row in flagged[:N_SHOWN]:
            flags = ", ".join(name for name in ("abnormal", "unsure") if row[name])
            numbers = ("" if row[name] is None else f"{row[name]:.3g}" for name in ("score", "p_value"))
            table.add_row(row["scan"], flags, *numbers, row["reasons"])
        console.print(table)
    if summary["triage"]:
        table = Table(title="to look at first: predicted Dice of the class that falls shortest")
        for heading in ("scan", "how bad", "why"):
            table.add_column(heading)
        for row in summary["triage"]:
            table.add_row(row["scan"], row["sentence"], row["why"])
        console.print(table)
    if summary["drift"] is not None:
        console.print("drift: an alarm" if summary["drift"] else "drift: none")
    for option, said in summary["told"].items():
        for sentence in said:
            console.print(f"{option}: {sentence}", soft_wrap=True)
    for reason in dict.fromkeys(summary["skipped"].values()):
        names = [name for name, why in summary["skipped"].items() if why == reason]
        console.print(f"no {', '.join(names)}: {reason}", soft_wrap=True)
    console.print(f"findings: {settings.store}/{settings.folder}", soft_wrap=True)
    if settings.report is not None:
        console.print(f"open {Path(settings.report, 'index.html').absolute().as_uri()}", soft_wrap=True)
    return DONE
