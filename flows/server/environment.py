"""Point Prefect in this process at a server, and back."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

DRAIN_S = 10.0


def client_variables(state: Path, api_url: str) -> dict[str, str | None]:
    """Return what a client of an embedded server has in its environment; None means unset."""
    no_proxy = ",".join(filter(None, [os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), "127.0.0.1"]))
    return {
        "PREFECT_API_URL": api_url,
        "PREFECT_HOME": str(state / "prefect"),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "no_proxy": no_proxy,  # a hospital's proxy does not reach this loopback
        "NO_PROXY": no_proxy,
        "PREFECT_PROFILE": None,  # profiles and keys belong to other servers
        "PREFECT_API_KEY": None,
        "PREFECT_API_AUTH_STRING": None,
        "PREFECT_UI_URL": None,
    }


@contextmanager
def environment(variables: Mapping[str, str | None]) -> Iterator[None]:
    """Set environment variables, make an imported Prefect read them, and take both back afterwards.

    What Prefect still holds for a server, such as events and logs in its queues, is sent to that one before
    the way there and back, for at most `DRAIN_S` seconds a queue.
    """
    before = {name: os.environ.get(name) for name in variables}
    _drain_queues()
    _apply(variables)
    try:
        yield
    finally:
        _drain_queues()
        _apply(before)


def _apply(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    context = sys.modules.get("prefect.context")
    if context is not None:
        context.refresh_global_settings_context()


def _drain_queues() -> None:
    """Drain them from a thread: beside a running event loop, a notebook's for one, Prefect would not wait."""
    queues = (("prefect.events.worker", "EventsWorker"), ("prefect.logging.handlers", "APILogWorker"))
    with ThreadPoolExecutor(1) as thread:
        for module, worker in queues:
            if module in sys.modules:
                drain_all = getattr(sys.modules[module], worker).drain_all
                thread.submit(drain_all, timeout=DRAIN_S, at_exit=False).result()
