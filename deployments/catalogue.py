"""What is deployed: pools, queues with priorities, and the flows on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import EntrypointType, RunnerDeployment
from prefect.schedules import Cron
from pydantic import ValidationError

from agg2exp_core.attribution import METHODS
from agg2exp_core.errors import UsageError
from agg2exp_core.metrics import METRICS
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
from tasks.choices import benchmark_of
from tasks.intake_settings import IngestSettings
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
        If the cron expression or the time zone means nothing.
    """
    if cron is None:
        return None
    try:
        CronSchedule(cron=cron, timezone=timezone)
    except ValidationError as error:
        raise UsageError(
            "--cron",
            got=f"{cron!r} in {timezone!r}: {error.errors()[0]['msg']}",
            allowed="five fields of cron and a time zone such as Europe/Warsaw",
            remedy='write --cron "0 2 * * *" for every night at two',
        ) from None
    return Schedule(cron, timezone)


def catalogue(
    scans: list[str], settings: ExplainSettings, schedule: Schedule | None
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
            parameters=defaults | {"queue": "nightly"},
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
