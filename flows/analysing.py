"""The command `analyse`, joined to the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli import Debug, State

if TYPE_CHECKING:
    from tasks.analyse_settings import AnalyseSettings

N_SHOWN = 10
"""Flagged scans in the table; the files hold all."""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(epilog="Findings go to STORE/analysis/LABEL; docs/analyses.md describes each file.")(analyse)


def analyse(
    store: Annotated[str, typer.Argument(help="Store of explained scans.")],
    label: Annotated[str | None, typer.Option("--method", help="Which results, by their label.")] = None,
    reference: Annotated[
        str | None, typer.Option("--reference", help="Store of scans that the model is known to handle.")
    ] = None,
    metadata: Annotated[
        Path | None, typer.Option("--metadata", help="CSV of the patients, a row per scan.")
    ] = None,
    dice: Annotated[Path | None, typer.Option("--dice", help="CSV of Dice, a column per class.")] = None,
    reports: Annotated[
        Path | None, typer.Option("--reports", help="JSON of scan ids and de-identified texts.")
    ] = None,
    import_csv: Annotated[
        Path | None,
        typer.Option("--import-csv", help="Table in the paper's column scheme to put into the store first."),
    ] = None,
    detector: Annotated[
        str | None, typer.Option("--detector", help="Outlier detector, such as isolation_forest.")
    ] = None,
    rate: Annotated[float, typer.Option("--rate", help="Share of normal scans that are flagged.")] = 0.05,
    poor: Annotated[
        float | None, typer.Option("--poor", help="Dice of a poor segmentation; by default the lowest fifth.")
    ] = None,
    false_alarms: Annotated[
        float, typer.Option("--false-alarms", help="Of a look for drift: their rate.")
    ] = 0.01,
    seed: Annotated[int, typer.Option("--seed", help="Seed of what is random.")] = 0,
    report: Annotated[
        Path | None, typer.Option("--report", help="Folder that gets the pages of the report too.")
    ] = None,
    report_url: Annotated[
        str | None, typer.Option("--report-url", help="Where people open that folder, for the Prefect UI.")
    ] = None,
    no_figures: Annotated[bool, typer.Option("--no-figures", help="Draw no pictures.")] = False,
    state: State = None,
    debug: Debug = False,
) -> int:
    """Find abnormal scans and why, compare cohorts, draw pictures of the matrices."""
    from agg2exp_core.analysis import DEFAULT_DETECTOR
    from agg2exp_core.report.folder import ReportFolder
    from tasks.analyse_settings import IMPORTED, AnalyseSettings, evidence_of, import_table

    if import_csv is not None:
        label = label or IMPORTED
    settings = AnalyseSettings(
        store=store,
        label=label or "",
        reference=reference,
        metadata=_text(metadata),
        dice=_text(dice),
        reports=_text(reports),
        detector=detector or DEFAULT_DETECTOR,
        rate=rate,
        poor=poor,
        false_alarm_rate=false_alarms,
        seed=seed,
        figures=not no_figures,
        report=_text(report),
        report_url=report_url,
    )
    settings.analysis  # noqa: B018  checks the numbers
    if import_csv is not None:
        import_table(store, import_csv, settings.label)
    settings = labelled(settings)
    evidence_of(settings)
    if report is not None:
        ReportFolder(report)  # checks that it may be written
    return run_analyse(settings, state)


def labelled(settings: AnalyseSettings) -> AnalyseSettings:
    """Return the settings with the label that is meant: the given one, or the only one.

    Raises
    ------
    UsageError
        If the store has several labels, or not this one.
    """
    from dataclasses import replace

    from agg2exp_core.errors import UsageError
    from flows.checks import labels_of

    known = labels_of(settings.store, [settings.label] if settings.label else None)
    if len(known) > 1:
        raise UsageError(
            "--method", got="nothing", allowed=", ".join(known), remedy="choose one with --method"
        )
    return replace(settings, label=known[0])


def run_analyse(settings: AnalyseSettings, state: Path | None) -> int:
    """Run the flow; return the exit code."""
    from flows.launch import carry_out, served

    with served(state):
        from flows.analyse import analyse as flow

        summary = carry_out(flow, settings)
    return conclude(settings, summary)


def conclude(settings: AnalyseSettings, summary: dict[str, Any]) -> int:
    """Print the flagged scans and what could not be said; return the exit code."""
    from rich.table import Table

    from flows.exit_codes import DONE
    from flows.launch import console
    from tasks.analyse import flagged_scans
    from tasks.resources import store_of

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
    if summary["drift"] is not None:
        console.print("drift: an alarm" if summary["drift"] else "drift: none")
    for name, reason in summary["skipped"].items():
        console.print(f"no {name}: {reason}", soft_wrap=True)
    console.print(f"findings: {settings.store}/{settings.folder}", soft_wrap=True)
    if settings.report is not None:
        console.print(f"open {Path(settings.report, 'index.html').absolute().as_uri()}", soft_wrap=True)
    return DONE


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
