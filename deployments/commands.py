"""The commands `deploy` and `worker`, joined to the command line."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli import Debug, Device

Server = "The Prefect server is the one that PREFECT_API_URL names."


WEEKLY = "0 4 * * 0"
"""When old voxels are dropped by default: early on Sundays."""


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command(epilog=Server)(deploy)
    app.command(epilog=Server)(worker)


def deploy(
    scans: Annotated[list[str], typer.Argument(help="NIfTI files, or folders, as the workers see them.")],
    model: Annotated[str, typer.Option("--model", help="Bundle folder, description, program or name.")],
    out: Annotated[str, typer.Option("--out", help="Store that all workers reach.")],
    method: Annotated[str, typer.Option("--method", help="Attribution method.")] = "smoothgrad",
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="Parameter of the method: name=value.")
    ] = None,
    label: Annotated[str | None, typer.Option("--label", help="Name of the results.")] = None,
    cron: Annotated[
        str | None, typer.Option("--cron", help='When new scans are explained, such as "0 2 * * *".')
    ] = None,
    timezone: Annotated[str, typer.Option("--timezone", help="Of the schedules.")] = "UTC",
    ingest_from: Annotated[
        str | None,
        typer.Option("--ingest-from", help="Folder, s3:// or http DICOMweb that feeds the first SCANS."),
    ] = None,
    ingest_cron: Annotated[
        str | None,
        typer.Option(
            "--ingest-cron", help="When that is looked at; explained at once where --cron is not given."
        ),
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option("--keep", help="Of the patients: age or sex (again for both).")
    ] = None,
    keep_days: Annotated[
        float | None,
        typer.Option(
            "--keep-days", envvar="AGG2EXP_KEEP_DAYS", help="Voxels finished longer ago are dropped."
        ),
    ] = None,
    retention_cron: Annotated[
        str, typer.Option("--retention-cron", envvar="AGG2EXP_RETENTION_CRON", help="When they are.")
    ] = WEEKLY,
    store_to: Annotated[
        str | None,
        typer.Option(
            "--store-to",
            envvar="AGG2EXP_STORE_TO",
            help="PACS (http DICOMweb) that takes the results of what --ingest-from fed.",
        ),
    ] = None,
    return_classes: Annotated[
        list[str] | None,
        typer.Option("--return-class", help="Class whose attribution goes there too (again for more)."),
    ] = None,
    return_folder: Annotated[
        str,
        typer.Option(
            "--return-folder",
            envvar="AGG2EXP_RETURN_FOLDER",
            help="Folder, as the workers see it, that gets them too, as NIfTI in each scan's own space.",
        ),
    ] = "",
    reference: Annotated[
        str | None,
        typer.Option("--reference", help="Store of scans that the model is known to handle, for findings."),
    ] = None,
    report: Annotated[
        str | None,
        typer.Option("--report", help="Folder that gets the report after each batch, as the workers see it."),
    ] = None,
    report_url: Annotated[
        str | None, typer.Option("--report-url", help="Where people open that folder.")
    ] = None,
    device: Device = "auto",
    debug: Debug = False,
) -> int:
    """Bring pools, queues, deployments and schedules of a Prefect server up to date."""
    from agg2exp_core.errors import UsageError
    from deployments.applying import apply, require_server
    from deployments.catalogue import analysed, catalogue, intake, retained
    from deployments.deployment import schedule_of
    from flows.checks import parse_settings
    from tasks.intake_settings import IngestSettings
    from tasks.retention_settings import RetentionSettings
    from tasks.returning import ReturnSettings
    from tasks.settings import ExplainSettings

    settings = ExplainSettings(
        store=out,
        model=model,
        method=method,
        params=dict(parse_settings(assignments or [])),
        label=label,
        device=device,
    )
    taken = results = None
    if ingest_from is not None:
        explain_with = "explain-batch/nightly" if cron is None else None
        taken = IngestSettings(ingest_from, scans[0], keep=keep or [], explain_with=explain_with)
    if return_folder and store_to is None:
        raise UsageError(
            "--return-folder",
            got="it without --store-to",
            allowed="both: files lie beside the objects that a PACS gets",
            remedy="name the PACS, or write files with agg2exp export",
        )
    if store_to is not None:
        if taken is None:
            raise UsageError(
                "--store-to",
                got="it without --ingest-from",
                allowed="both: results refer to the series that were taken in",
                remedy="say where scans come from",
            )
        results = ReturnSettings(store_to, taken, return_classes or [], return_folder)
    deployments = catalogue(scans, settings, schedule_of(cron, timezone), results)
    deployments.append(analysed(settings, reference, report, report_url))
    if taken is not None:
        deployments.append(intake(taken, schedule_of(ingest_cron, timezone)))
    if keep_days is not None:
        kept = RetentionSettings(out, keep_days)
        deployments.append(retained(kept, schedule_of(retention_cron, timezone)))
    try:
        from deployments.training import trained
    except UsageError as missing:
        typer.echo(f"no deployments of training: {missing}")
    else:
        deployments += trained()
    require_server()
    for what in apply(deployments):
        typer.echo(what)
    return 0


def worker(
    devices: Annotated[
        str, typer.Option("--devices", help="all, cpu, cpu:N, or GPUs such as cuda:0,cuda:1.")
    ] = "all",
    pool: Annotated[str, typer.Option("--pool", help="Work pool: gpu or cpu.")] = "gpu",
    debug: Debug = False,
) -> int:
    """Start a worker on each device, and keep them alive until Ctrl-C."""
    from deployments.applying import require_server
    from deployments.workers import places, serve

    chosen = places(devices)
    require_server()
    serve(chosen, pool, typer.echo)
    return 0
