"""One deployment: a flow that the workers have installed, on a pool, at its times."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, cast

from prefect import Flow
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron
from prefect.server.schemas.schedules import CronSchedule
from prefect.types.entrypoint import EntrypointType
from pydantic import ValidationError

from agg2exp_core.errors import UsageError

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


def deployed(
    flow: Flow[..., Any],
    name: str,
    description: str,
    *,
    queue: str,
    pool: str = "cpu",
    schedule: Schedule | None = None,
    alone: bool = False,
    **options: Any,
) -> RunnerDeployment:
    """Return a deployment of a flow that the workers have installed.

    Parameters
    ----------
    flow : Flow
        The flow.
    name, description : str
        Of the deployment.
    queue, pool : str
        Whose workers take its runs.
    schedule : Schedule, optional
        When; without one at request only.
    alone : bool
        Whether a run waits for the one before it.
    **options
        More of `Flow.to_deployment`.
    """
    made = flow.to_deployment(
        name,
        description=description,
        schedules=[] if schedule is None else [Cron(schedule.cron, timezone=schedule.timezone)],
        concurrency_limit=1 if alone else None,
        work_pool_name=pool,
        work_queue_name=queue,
        tags=[TAG],
        entrypoint_type=EntrypointType.MODULE_PATH,
        **options,
    )
    return cast(RunnerDeployment, made)  # a coroutine inside an event loop alone
