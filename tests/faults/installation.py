"""An installation whose parts can be ended and started again: PostgreSQL, Redis, S3, Prefect, workers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from agg2exp.deployments.applying import apply
from agg2exp.deployments.catalogue import Service, catalogue
from agg2exp.flows.server.environment import environment
from agg2exp_core.pipeline.settings import ExplainSettings
from benchmarks.scale.service import Server, serving
from tests.faults.slow import SECONDS
from tests.services.postgres import Postgres, free_port, postgres, programs
from tests.services.radosgw import Radosgw, radosgw
from tests.services.radosgw import installed as has_radosgw
from tests.services.redis import Redis, redis
from tests.services.redis import installed as has_redis

MISSING = [
    name
    for name, is_there in {
        "PostgreSQL": programs() is not None,
        "Redis": has_redis(),
        "Ceph's gateway": has_radosgw(),
        "socat": shutil.which("socat") is not None,
    }.items()
    if not is_there
]
"""Programs that are not installed (tests/services/install)."""


class Wire:
    """The way from some workers to the server, which can be cut without an end of any connection."""

    def __init__(self, port: int) -> None:
        self.port = free_port()
        listen = f"TCP-LISTEN:{self.port},bind=127.0.0.1,fork,reuseaddr"
        self._process = subprocess.Popen(
            ["socat", listen, f"TCP:127.0.0.1:{port}"],
            env={"PATH": os.environ["PATH"]},
            start_new_session=True,
            stderr=subprocess.DEVNULL,
        )

    def cut(self) -> None:
        """Let nothing through."""
        os.killpg(self._process.pid, signal.SIGSTOP)

    def mend(self) -> None:
        """Let everything through, what waited included."""
        os.killpg(self._process.pid, signal.SIGCONT)

    def remove(self) -> None:
        """End it."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@dataclass(frozen=True)
class Installation:
    """What runs.

    Parameters
    ----------
    folder : Path
        For files.
    database, messages, objects, server, wire : Postgres, Redis, Radosgw, Server, Wire
        Parts of it.
    bucket : str
        Address of an empty bucket.
    """

    folder: Path
    database: Postgres
    messages: Redis
    objects: Radosgw
    server: Server
    wire: Wire
    bucket: str

    def deploy(self, settings: ExplainSettings) -> None:
        """Bring the server to what the catalogue says."""
        for _ in apply(catalogue(Service.of(settings))):
            pass

    @contextmanager
    def workers(self, devices: str, pool: str, *, by_wire: bool = False) -> Iterator[None]:
        """Have workers while the context lasts; none of their processes stays."""
        port = self.wire.port if by_wire else self.server.port
        variables = {"PREFECT_API_URL": f"http://127.0.0.1:{port}/api", "OMP_NUM_THREADS": "1"}
        words = [sys.executable, "-m", "agg2exp_cli", "worker", "--devices", devices, "--pool", pool]
        with (self.folder / f"workers-{pool}-{port}.log").open("ab") as log:
            process = subprocess.Popen(
                words, env={**os.environ, **variables}, stdout=log, stderr=log, start_new_session=True
            )
        try:
            yield
        finally:
            process.terminate()
            process.wait(90)

    def processes(self) -> list[psutil.Process]:
        """Return the workers and runs of this installation that live."""
        urls = {f"http://127.0.0.1:{port}/api" for port in (self.server.port, self.wire.port)}
        return [
            process
            for process in psutil.process_iter()
            if process.pid != os.getpid() and variable(process, "PREFECT_API_URL") in urls
        ]


def variable(process: psutil.Process, name: str) -> str | None:
    """Return a variable of a process' environment, None if there is none or the process is gone."""
    try:
        return None if process.status() == psutil.STATUS_ZOMBIE else process.environ().get(name)
    except psutil.Error:
        return None


@contextmanager
def installation(folder: Path, seconds: float) -> Iterator[Installation]:
    """Have an installation while the context lasts; the slow method takes so long for a class in it."""
    with ExitStack() as stack:
        database, messages = stack.enter_context(postgres()), stack.enter_context(redis())
        objects = stack.enter_context(radosgw())
        path = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))
        variables = {**objects.environment, "PYTHONPATH": path, SECONDS: str(seconds)}
        stack.enter_context(environment(variables))
        server = stack.enter_context(serving(folder / "server", database.url, messages.variables))
        wire = Wire(server.port)
        stack.callback(wire.remove)
        yield Installation(folder, database, messages, objects, server, wire, objects.make_bucket())
