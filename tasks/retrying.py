"""Which failures a second try can mend."""

from __future__ import annotations

from typing import Any

import torch
from botocore.exceptions import BotoCoreError, ClientError
from prefect import Task
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import exponential_backoff

from agg2exp_core.errors import Agg2ExpError

_PASSING = (OSError, BotoCoreError, ClientError, torch.OutOfMemoryError)
_LASTING = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)


def may_pass(error: BaseException) -> bool:
    """Say whether an error can be gone at the next try: storage, network, memory of the device."""
    if isinstance(error, Agg2ExpError):
        return error.__cause__ is not None and may_pass(error.__cause__)
    return isinstance(error, _PASSING) and not isinstance(error, _LASTING)


async def _worth_retrying(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    outcome = await state.aresult(raise_on_failure=False)
    return isinstance(outcome, BaseException) and may_pass(outcome)


RETRYING: dict[str, Any] = {
    "retries": 3,
    "retry_delay_seconds": exponential_backoff(backoff_factor=2),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": _worth_retrying,
}
"""Options of every task that touches storage or a device."""
