"""The command `deploy`."""

from __future__ import annotations

import typer

from agg2exp.deployments.settings import ServiceSettings
from agg2exp_cli.app import command_app
from agg2exp_cli.options import Debug, Given, with_options
from agg2exp_core.export.pacs import ReturnSettings
from agg2exp_core.intake.settings import IngestSettings
from agg2exp_core.pipeline.benchmark_settings import BenchmarkSettings
from agg2exp_core.pipeline.settings import AnalyseSettings, ExplainSettings, RetentionSettings

app = command_app()

_FOLLOWING = ("source", "into", "explain_with", "intake", "folder", "AnalyseSettings.store")
"""Fields that follow from others."""


@app.command(epilog="The Prefect server is the one that PREFECT_API_URL names.")
@with_options(
    ServiceSettings,
    ExplainSettings,
    BenchmarkSettings,
    AnalyseSettings,
    IngestSettings,
    ReturnSettings,
    arguments=["scans"],
    leave_out=_FOLLOWING,
)
def deploy(given: Given, debug: Debug = False) -> int:
    """Bring pools, queues, deployments and schedules of a Prefect server up to date.

    Relative paths are taken from here, and written down from the root on: workers must reach them so.
    """
    service, explain = given.make(ServiceSettings).placed(), given.make(ExplainSettings).placed()
    benchmark = given.make(BenchmarkSettings).placed()
    analyse = given.make(AnalyseSettings, store=explain.store, label=explain.result_label).placed()
    intake = results = retention = None
    if service.ingest_from is not None:
        explain_with = "explain-batch/nightly" if service.cron is None else None
        intake = given.make(
            IngestSettings, source=service.ingest_from, into=service.scans[0], explain_with=explain_with
        )
        if service.store_to is not None:
            results = given.make(ReturnSettings, intake=intake, folder=service.return_folder).placed()
    if service.keep_days is not None:
        retention = RetentionSettings(store=explain.store, keep_days=service.keep_days)
    benchmark.check()
    from agg2exp.deployments.applying import apply, require_server
    from agg2exp.deployments.catalogue import Service, catalogue
    from agg2exp_core.errors import UsageError

    deployments = catalogue(Service(service, explain, benchmark, analyse, intake, results, retention))
    try:
        from agg2exp.deployments.training import trained
    except UsageError as missing:
        typer.echo(f"no deployments of training: {missing}")
    else:
        deployments += trained()
    require_server()
    for what in apply(deployments):
        typer.echo(what)
    return 0
