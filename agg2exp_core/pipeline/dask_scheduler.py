"""Where Dask computes: on a scheduler that is given, or in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dask import config

from agg2exp_core.errors import UsageError

VARIABLE = "DASK_SCHEDULER_ADDRESS"
"""Dask's own setting. Its workers have agg2exp installed, and reach the store."""


@contextmanager
def given_scheduler() -> Iterator[None]:
    """Let Dask compute on the given scheduler while the context lasts; without one, in this process.

    Raises
    ------
    UsageError
        If the scheduler does not answer.
    """
    address = config.get("scheduler-address", None)
    if address is None:
        yield
        return
    from distributed import Client

    try:
        client = Client(address, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise UsageError(
            VARIABLE,
            got=f"{address!r}: {error}",
            allowed="the address of a running Dask scheduler, such as tcp://127.0.0.1:8786",
            remedy="start it (dask scheduler, dask worker ADDRESS), or unset the variable",
        ) from None
    with client, client.as_current():
        yield
