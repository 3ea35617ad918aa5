"""A Redis of one's own for as long as it is needed."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.services.postgres import free_port

PROGRAM = "redis-server"
START_S = 20.0


@dataclass
class Redis:
    """A server that keeps what it is told, as the installation's does.

    Parameters
    ----------
    folder : Path
        Where it keeps it.
    port : int
        On the loopback.
    """

    folder: Path
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def variables(self) -> dict[str, str]:
        """What Prefect servers that share it have in their environment."""
        url = f"redis://127.0.0.1:{self.port}"
        return {
            "PREFECT_MESSAGING_BROKER": "prefect_redis.messaging",
            "PREFECT_MESSAGING_CACHE": "prefect_redis.messaging",
            "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
            "PREFECT_REDIS_MESSAGING_URL": f"{url}/0",
        }

    def start(self) -> None:
        """Start it, and return once it answers."""
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        with (self.folder / "log").open("a") as log:
            self._process = subprocess.Popen([PROGRAM, *words, "--appendonly", "yes"], stdout=log, stderr=log)
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "log").read_text()[-500:])
            time.sleep(0.1)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it with a signal, and return once it ended."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(START_S)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as client:
                client.sendall(b"PING\r\n")
                return client.recv(16) == b"+PONG\r\n"
        except OSError:
            return False


def installed() -> bool:
    """Say whether Redis is there."""
    return shutil.which(PROGRAM) is not None


@contextmanager
def redis() -> Iterator[Redis]:
    """Have a running Redis while the context lasts."""
    if not installed():
        raise RuntimeError("Redis is not installed; on Debian: apt-get install redis-server")
    folder = Path(tempfile.mkdtemp(prefix="agg2exp-redis-"))
    made = Redis(folder)
    try:
        made.start()
        yield made
    finally:
        made.stop(signal.SIGKILL)
        shutil.rmtree(folder)
