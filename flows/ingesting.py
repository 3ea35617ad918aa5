"""The command `ingest`, joined to the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli import Debug, State

if TYPE_CHECKING:
    from tasks.intake_settings import IngestSettings, IngestSummary


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    key = "AGG2EXP_IDENTITY_KEY (or the Secret block agg2exp-identity-key) holds the key of the scan ids."
    app.command(epilog=key)(ingest)


def ingest(
    source: Annotated[str, typer.Argument(help="Folder, s3://bucket/prefix, or http address of DICOMweb.")],
    into: Annotated[Path, typer.Option("--into", help="Folder for <scan id>/ct.nii.gz.")],
    keep: Annotated[
        list[str] | None, typer.Option("--keep", help="Keep age or sex (again for both); all else goes.")
    ] = None,
    settle_s: Annotated[
        float, typer.Option("--settle", help="Seconds for which an arrival must stay as it is.")
    ] = 30.0,
    min_slices: Annotated[int, typer.Option("--min-slices", help="Of a series.")] = 16,
    max_spacing: Annotated[float, typer.Option("--max-slice-spacing", help="Of a series, in mm.")] = 5.0,
    n_days: Annotated[int, typer.Option("--days", help="PACS: days of the studies.")] = 2,
    until: Annotated[
        str | None, typer.Option("--until", help="PACS: the last day, such as 2026-01-31; today by default.")
    ] = None,
    body_part: Annotated[
        str | None, typer.Option("--body-part", help="PACS: only series of it, such as CHEST.")
    ] = None,
    explain_with: Annotated[
        str | None, typer.Option("--explain-with", help="Deployment that then explains the folder.")
    ] = None,
    state: State = None,
    debug: Debug = False,
) -> int:
    """Take in new scans from a folder, S3 or a PACS, de-identified and each once."""
    from tasks.intake_settings import IngestSettings

    return run_ingest(
        IngestSettings(
            source=source,
            into=str(into),
            keep=keep or [],
            settle_s=settle_s,
            min_slices=min_slices,
            max_slice_spacing_mm=max_spacing,
            n_days=n_days,
            until=until,
            body_part=body_part,
            explain_with=explain_with,
        ),
        state,
    )


def run_ingest(settings: IngestSettings, state: Path | None) -> int:
    """Run the flow; return the exit code."""
    from flows.launch import carry_out, served
    from tasks.intake_settings import intake_of, source_of

    source_of(settings)
    intake_of(settings)
    with served(state):
        from flows.ingest import ingest as flow

        summary = carry_out(flow, settings)
    return conclude(summary)


def conclude(summary: IngestSummary) -> int:
    """Print how each series fared; return the exit code."""
    from rich.table import Table

    from agg2exp_core.intake.ledger import ACCEPTED, FAILED, NO_IMAGE, QUARANTINED
    from flows.exit_codes import DONE, NOTHING, SOME_FAILED
    from flows.launch import console

    n_accepted, n_bad = summary.count(ACCEPTED), summary.count(QUARANTINED, FAILED)
    table = Table(title=f"{n_accepted} of {len(summary.entries)} taken into {summary.into}")
    for heading in ("content", "status", "scan", "reason"):
        table.add_column(heading)
    for entry in summary.entries:
        table.add_row(entry.content[:12], entry.status, entry.scan_id, entry.reason)
    console.print(table if summary.entries else "nothing new")
    if summary.entries and summary.count(NO_IMAGE) == len(summary.entries):
        return NOTHING
    if not n_bad:
        return DONE
    return SOME_FAILED if n_bad < len(summary.entries) else NOTHING
