"""A second try only where it can help."""

import pytest
import torch
from prefect import flow, task

from agg2exp.tasks.retrying import RETRYING, may_pass
from agg2exp_core.errors import ScanError, StoreError


def caused(error, cause):
    error.__cause__ = cause
    return error


def words(kind):
    return kind("place", got="this", allowed="that", remedy="mend it")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (torch.OutOfMemoryError(), True),
        (caused(words(StoreError), ConnectionResetError()), True),
        (words(StoreError), False),
        (words(ScanError), False),
        (caused(words(ScanError), ValueError()), False),
        (PermissionError(), False),
        (FileNotFoundError(), False),
        (ValueError(), False),
    ],
)
def test_which_errors_may_pass(error, expected):
    assert may_pass(error) is expected


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize(("error", "n_tries"), [(ConnectionResetError("gone"), 3), (words(ScanError), 1)])
def test_tasks_are_tried_again_only_for_those(error, n_tries):
    tries = []

    @task(**RETRYING | {"retry_delay_seconds": 0, "retries": 2})
    def stubborn():
        tries.append(1)
        raise error

    @flow
    def one():
        stubborn()

    assert one(return_state=True).is_failed()
    assert len(tries) == n_tries
