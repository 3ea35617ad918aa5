"""What is deployed: pools, queues with priorities, and the flows on them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from prefect.deployments.runner import EntrypointType, RunnerDeployment
from prefect.events import DeploymentEventTrigger
from prefect.schedules import Cron
from prefect.server.schemas.schedules import CronSchedule
from pydantic import ValidationError

from agg2exp_core.attribution import METHODS
from agg2exp_core.errors import UsageError
from agg2exp_core.metrics import METRICS
from flows.analyse import analyse
from flows.batch import (
    BENCHMARK_PART,
    PART,
    PARTS_POOL,
    benchmark_batch,
    benchmark_part,
    explain_batch,
    explain_part,
)
from flows.ingest import ingest
from flows.retention import retention
from tasks.analyse_settings import AnalyseSettings
from tasks.choices import benchmark_of
from tasks.intake_settings import IngestSettings
from tasks.retention_settings import RetentionSettings
from tasks.returning import ReturnSettings
from tasks.settings import ExplainSettings

POOLS: Mapping[str, str] = {
    PARTS_POOL: "One worker a device, one run at a time: attributions.",
    "cpu": "Batches that fan out, reductions.",
}
"""Work pools and what runs on them."""

QUEUES: Mapping[str, int] = {"nightly": 1, "backfill": 2}
"""Queues of each pool with their priorities: the smaller goes first."""

TAG = "agg2exp"


@dataclass(frozen=True)
class Schedule:
    """When new scans are explained.

    Parameters
    ----------
    cron : str
        Five fields, such as ``0 2 * * *``.
    timezone : str
        Of the hospital, such as ``Europe/Warsaw``.
    """

    cron: str
    timezone: str


def schedule_of(cron: str | None, timezone: str) -> Schedule | None:
    """Return a checked schedule, or None for none.

    Raises
    ------
    UsageError
        If the cron expression or the time zone means nothing, or never comes.
    """
    if cron is None:
        return None
    wrong = ""
    try:
        asyncio.run(CronSchedule(cron=cron, timezone=timezone).get_dates(1))
    except ValidationError as error:
        wrong = error.errors()[0]["msg"]
    except ValueError:  # the server would fail on it, and then make no runs of any schedule
        wrong = "that is never"
    if wrong:
        raise UsageError(
            "--cron",
            got=f"{cron!r} in {timezone!r}: {wrong}",
            allowed="five fields of cron and a time zone such as Europe/Warsaw",
            remedy='write --cron "0 2 * * *" for every night at two',
        )
    return Schedule(cron, timezone)


def catalogue(
    scans: list[str],
    settings: ExplainSettings,
    schedule: Schedule | None,
    results: ReturnSettings | None = None,
) -> list[RunnerDeployment]:
    """Return all deployments.

    Parameters
    ----------
    scans : list of str
        Files and folders of the nightly batch.
    settings : ExplainSettings
        How they are explained.
    schedule : Schedule or None
        When; None for at request only.
    results : ReturnSettings, optional
        Where the nightly batch sends results back to.
    """
    defaults: dict[str, Any] = {"scans": scans, "settings": asdict(settings)}
    crons = [] if schedule is None else [Cron(schedule.cron, timezone=schedule.timezone)]
    module = EntrypointType.MODULE_PATH
    return [
        explain_part.to_deployment(
            PART,
            description="Explain some scans on one device; sent by the batches.",
            work_pool_name=PARTS_POOL,
            work_queue_name="nightly",
            tags=[TAG],
            entrypoint_type=module,
        ),
        explain_batch.to_deployment(
            "nightly",
            description="Explain the scans that are new.",
            parameters=defaults | {"queue": "nightly", "results": results and asdict(results)},
            schedules=crons,
            concurrency_limit=1,
            work_pool_name="cpu",
            work_queue_name="nightly",
            tags=[TAG],
            entrypoint_type=module,
        ),
        explain_batch.to_deployment(
            "backfill",
            description="Explain scans that lie there; the nightly batch goes first.",
            parameters=defaults | {"queue": "backfill"},
            work_pool_name="cpu",
            work_queue_name="backfill",
            tags=[TAG],
            entrypoint_type=module,
        ),
        benchmark_part.to_deployment(
            BENCHMARK_PART,
            description="Benchmark methods on some scans on one device; sent by the batches.",
            work_pool_name=PARTS_POOL,
            work_queue_name="backfill",
            tags=[TAG],
            entrypoint_type=module,
        ),
        benchmark_batch.to_deployment(
            "benchmark",
            description="Judge attribution methods by metrics; what the store holds is kept.",
            parameters={"scans": scans, "settings": asdict(benchmark_of(settings, METHODS, METRICS))},
            work_pool_name="cpu",
            work_queue_name="backfill",
            tags=[TAG],
            entrypoint_type=module,
        ),
    ]


def analysed(
    settings: ExplainSettings,
    reference: str | None,
    report: str | None = None,
    report_url: str | None = None,
) -> RunnerDeployment:
    """Return the deployment that analyses what the store holds, after each batch of explanations.

    Parameters
    ----------
    settings : ExplainSettings
        How scans are explained: whose results.
    reference : str or None
        Store of scans that the model is known to handle.
    report, report_url : str or None
        Folder for the pages of the report, as the workers see it, and where people open it.
    """
    wanted = AnalyseSettings(
        settings.store, settings.result_label, reference, report=report, report_url=report_url
    )
    return analyse.to_deployment(
        "analyse",
        description="Findings of what the store holds, after each batch of explanations.",
        parameters={"settings": asdict(wanted)},
        triggers=[after(explain_batch.name)],
        concurrency_limit=1,
        work_pool_name="cpu",
        work_queue_name="nightly",
        tags=[TAG],
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


def after(flow_name: str) -> DeploymentEventTrigger:
    """Return what starts a deployment once a run of a flow has ended, all of its scans done or not."""
    return DeploymentEventTrigger(
        name=f"agg2exp: after {flow_name}",
        expect={"prefect.flow-run.Completed", "prefect.flow-run.Failed"},
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related={"prefect.resource.role": "flow", "prefect.resource.name": flow_name},
    )


def intake(settings: IngestSettings, schedule: Schedule | None) -> RunnerDeployment:
    """Return the deployment that takes new scans in.

    Parameters
    ----------
    settings : IngestSettings
        Where they come from, and where they go.
    schedule : Schedule or None
        When; None for at request only.
    """
    return ingest.to_deployment(
        "ingest",
        description="Take in new scans, de-identified and each once.",
        parameters={"settings": asdict(settings)},
        schedules=[] if schedule is None else [Cron(schedule.cron, timezone=schedule.timezone)],
        concurrency_limit=1,
        work_pool_name="cpu",
        work_queue_name="nightly",
        tags=[TAG],
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


def retained(settings: RetentionSettings, schedule: Schedule | None) -> RunnerDeployment:
    """Return the deployment that drops old voxels.

    Parameters
    ----------
    settings : RetentionSettings
        Of which store, and how old.
    schedule : Schedule or None
        When; None for at request only.
    """
    return retention.to_deployment(
        "retention",
        description="Drop the voxels of old attributions; their matrices stay.",
        parameters={"settings": asdict(settings)},
        schedules=[] if schedule is None else [Cron(schedule.cron, timezone=schedule.timezone)],
        concurrency_limit=1,
        work_pool_name="cpu",
        work_queue_name="backfill",
        tags=[TAG],
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
