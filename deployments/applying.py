"""Bring a Prefect server to what the catalogue says; a second time changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any

from httpx import RequestError
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.workers.process import ProcessWorker

from agg2exp.deployments.automations import apply_automation, automations
from agg2exp.deployments.catalogue import POOLS, QUEUES
from agg2exp_core.errors import UsageError

RUN = "python -m prefect.engine"
"""What a worker starts for a run; `agg2exp.deployments.workers` sees to it that this python is its own."""


def require_server() -> None:
    """Refuse to go on without a Prefect server that outlives this process, and that takes our login.

    Raises
    ------
    UsageError
        If PREFECT_API_URL names none, it does not answer, or it refuses PREFECT_API_AUTH_STRING.
    """
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        raise UsageError(
            "PREFECT_API_URL",
            got="nothing",
            allowed="the address of a Prefect server, such as http://127.0.0.1:4200/api",
            remedy="start one (prefect server start, or agg2exp ui), and set the variable",
        )
    try:
        with get_client(sync_client=True) as client:
            client.api_version()
    except PrefectHTTPStatusError as error:
        if error.response.status_code != HTTPStatus.UNAUTHORIZED:
            raise
        raise UsageError(
            "PREFECT_API_AUTH_STRING",
            got=f"a login that {url} refuses",
            allowed="the user:password of that server",
            remedy="set the variable as PREFECT_SERVER_API_AUTH_STRING is set there",
        ) from None
    except (RuntimeError, RequestError):
        raise UsageError(
            "PREFECT_API_URL",
            got=f"{url}, which does not answer as a Prefect server does",
            allowed="the address of a running one, with /api at its end",
            remedy="check the address, and that the server is up",
        ) from None


def apply(deployments: Sequence[RunnerDeployment]) -> Iterator[str]:
    """Yield the name of each pool, queue, deployment and automation once it is as it should be."""
    with get_client(sync_client=True) as client:
        for pool, description in POOLS.items():
            _pool(client, pool, description)
            yield f"work pool {pool}"
            for queue, priority in QUEUES.items():
                _queue(client, pool, queue, priority)
                yield f"work queue {pool}/{queue}, priority {priority}"
    for deployment in deployments:
        deployment.apply()
        yield f"deployment {deployment.full_name}"
    for automation in automations():
        apply_automation(automation)
        yield f"automation {automation.name!r}"


def _pool(client: SyncPrefectClient, name: str, description: str) -> None:
    template = _job_template()
    try:
        there = client.read_work_pool(name)
    except ObjectNotFound:
        client.create_work_pool(
            WorkPoolCreate(name=name, type="process", description=description, base_job_template=template)
        )
    else:
        if there.type != "process":  # a pool of Kubernetes, for one, has a template of its own
            template = there.base_job_template
        client.update_work_pool(name, WorkPoolUpdate(description=description, base_job_template=template))


def _job_template() -> dict[str, Any]:
    """Return what a pool asks of its workers: the flows are installed there, so a run is one process.

    Without a command of its own, a worker starts two more processes a run to look for the code.
    """
    template = ProcessWorker.get_default_base_job_template()
    template["variables"]["properties"]["command"]["default"] = RUN
    return template


def _queue(client: SyncPrefectClient, pool: str, name: str, priority: int) -> None:
    try:
        queue = client.read_work_queue_by_name(name, work_pool_name=pool)
    except ObjectNotFound:
        client.create_work_queue(name, priority=priority, work_pool_name=pool)
    else:
        client.update_work_queue(queue.id, priority=priority)
