"""A Prefect server on PostgreSQL, and workers, as processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from agg2exp.flows.server.environment import client_variables, environment
from tests.services.postgres import free_port

START_S = 300.0
_RECORDER = "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER"


class Server:
    """A Prefect server that can be stopped and started again.

    Parameters
    ----------
    state : Path
        Folder for its files.
    database : str
        URL of its database.
    variables : mapping, optional
        Settings besides.
    """

    def __init__(self, state: Path, database: str, variables: Mapping[str, str] | None = None) -> None:
        self.state = state
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/api"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
            "PREFECT_HOME": str(state / "prefect"),
            "PREFECT_API_DATABASE_CONNECTION_URL": database,
            "PREFECT_SERVER_API_PORT": str(self.port),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
            f"{_RECORDER}_BATCH_SIZE": "100",
            f"{_RECORDER}_READ_BATCH_SIZE": "100",
            f"{_RECORDER}_FLUSH_INTERVAL": "1",
            **(variables or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return once it answers."""
        words = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
        with (self.state / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                [*words, "--port", str(self.port)], env=self._environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.state / "server.log").read_text()[-2000:])
            time.sleep(0.2)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it with a signal, and return once it ended."""
        assert self.process is not None
        self.process.send_signal(how)
        self.process.wait(60)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False


@contextmanager
def serving(state: Path, database: str, variables: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Have a Prefect server while the context lasts, and point Prefect in this process at it."""
    state.mkdir()
    server = Server(state, database, variables)
    server.start()
    try:
        with environment(client_variables(state, server.url)):
            yield server
    finally:
        server.stop()


@contextmanager
def workers(devices: str, pool: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Have workers on a pool while the context lasts: ``agg2exp worker``."""
    words = [sys.executable, "-m", "agg2exp_cli", "worker", "--devices", devices, "--pool", pool]
    path = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))
    with log.open("a") as file:
        process = subprocess.Popen(
            words, env={**os.environ, "PYTHONPATH": path}, stdout=file, stderr=file, start_new_session=True
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(90)
