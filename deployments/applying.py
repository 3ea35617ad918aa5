"""Bring a Prefect server to what the catalogue says; a second time changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.workers.process import ProcessWorker

from agg2exp_core.errors import UsageError
from deployments.automations import apply_automation, automations
from deployments.catalogue import POOLS, QUEUES


def require_server() -> None:
    """Refuse to go on without a Prefect server that outlives this process.

    Raises
    ------
    UsageError
        If PREFECT_API_URL names none.
    """
    if not os.environ.get("PREFECT_API_URL"):
        raise UsageError(
            "PREFECT_API_URL",
            got="nothing",
            allowed="the address of a Prefect server, such as http://127.0.0.1:4200/api",
            remedy="start one (prefect server start, or agg2exp ui), and set the variable",
        )


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
    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        client.create_work_pool(
            WorkPoolCreate(name=name, type="process", description=description, base_job_template=template)
        )
    else:
        client.update_work_pool(name, WorkPoolUpdate(description=description))


def _queue(client: SyncPrefectClient, pool: str, name: str, priority: int) -> None:
    try:
        queue = client.read_work_queue_by_name(name, work_pool_name=pool)
    except ObjectNotFound:
        client.create_work_queue(name, priority=priority, work_pool_name=pool)
    else:
        client.update_work_queue(queue.id, priority=priority)
