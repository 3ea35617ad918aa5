"""One Prefect server for all tests of flows."""

import signal
from collections.abc import Iterator

import pytest

from agg2exp.flows.server import PrefectServer, embedded_server

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # a shell's background jobs ignore it, and the processes that tests interrupt would inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """Run an embedded Prefect server on a temporary state folder; flows of this process report to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PREFECT_API_URL", raising=False)
        with embedded_server(tmp_path_factory.mktemp("prefect") / "state") as server:
            yield server
