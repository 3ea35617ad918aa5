"""One Prefect worker a device, each pinned to it by its environment."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch

from agg2exp.deployments.automations import HEARTBEAT_S
from agg2exp.deployments.catalogue import POOLS, QUEUES
from agg2exp_core.errors import UsageError

STOP_S = 30.0
"""Given to a worker to end its run before both are killed."""
RESTART_S = 5.0
"""Before a worker that ended by itself is started again."""
ASK_S = 2
"""Between two questions of a worker for its next run, while its device is idle."""
N_RETRIES = 6
"""Of a question to a server that is away, each after twice the time: two minutes in all."""
N_S3_ATTEMPTS = 12
"""Of a question to an S3 server that is away: over a minute, before a task or a run fails."""
_POLL_S = 0.5
_GONE_S = 2.0


@dataclass(frozen=True)
class Place:
    """Where a worker runs.

    Parameters
    ----------
    name : str
        Such as ``cuda:1`` or ``cpu:0``.
    environment : mapping
        Pins a process to it.
    """

    name: str
    environment: Mapping[str, str]


def places(devices: str, n_gpus: int | None = None, n_cores: int | None = None) -> list[Place]:
    """Return a place for each worker.

    Parameters
    ----------
    devices : str
        ``all`` (every GPU, or the CPU where there is none), ``cpu``, ``cpu:N`` for N workers that
        share the cores unless ``OMP_NUM_THREADS`` says how many each takes, or GPUs such as
        ``cuda:0,cuda:2``.
    n_gpus, n_cores : int, optional
        Of this machine; by default what it has.

    Raises
    ------
    UsageError
        If a device is not there, or not a device.
    """
    n_gpus = torch.cuda.device_count() if n_gpus is None else n_gpus
    n_cores = (os.cpu_count() or 1) if n_cores is None else n_cores
    if devices == "all":
        return [_gpu(i) for i in range(n_gpus)] or _cpus(1, n_cores)
    kind, _, number = devices.partition(":")
    if kind == "cpu" and (number.isdigit() or not number) and number != "0":
        return _cpus(int(number or 1), n_cores)
    names = devices.split(",")
    there = {f"cuda:{i}": _gpu(i) for i in range(n_gpus)}
    if not set(names) <= set(there) or len(set(names)) < len(names):
        raise UsageError(
            "--devices",
            got=repr(devices),
            allowed=f"all, cpu, cpu:N, or of these, each once: {', '.join(there) or 'no GPU is here'}",
            remedy="name devices of this machine",
        )
    return [there[name] for name in names]


def _gpu(index: int) -> Place:
    """Return the place of a GPU, counted among those that are given to this process: by Slurm, for one."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES") or ""
    names = given.split(",")
    return Place(f"cuda:{index}", {"CUDA_VISIBLE_DEVICES": names[index] if given else str(index)})


def _cpus(n: int, n_cores: int) -> list[Place]:
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(n_cores // n, 1))
    return [Place(f"cpu:{i}", {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": threads}) for i in range(n)]


def command(place: Place, pool: str) -> list[str]:
    """Return the command of the worker of a place."""
    queues = [part for queue in QUEUES for part in ("--work-queue", queue)]
    name = f"{socket.gethostname()}-{place.name.replace(':', '')}"
    start = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--type", "process"]
    return [*start, "--name", name, "--limit", "1", *queues]


def serve(places: Sequence[Place], pool: str, announce: Callable[[str], None]) -> None:
    """Keep a worker alive at each place until this process is asked to end; no process is left then.

    The run of a worker that was killed goes on, and keeps its place: another worker starts after it.

    Raises
    ------
    UsageError
        If there is no such pool.
    """
    if pool not in POOLS:
        raise UsageError("--pool", got=repr(pool), allowed=", ".join(POOLS), remedy="name one of them")
    with _asked_to_end() as ending:
        workers = [_start(place, pool) for place in places]
        announce(f"{len(places)} workers on pool {pool}: {', '.join(place.name for place in places)}")
        try:
            while not ending():
                for i, worker in enumerate(workers):
                    if worker.poll() is not None and not _signal_group(worker, 0):
                        ended = f"the worker on {places[i].name} ended with code {worker.returncode}"
                        announce(f"{ended}; starting another")
                        time.sleep(RESTART_S)
                        workers[i] = _start(places[i], pool)
                time.sleep(_POLL_S)
        finally:
            _stop(workers)


def _start(place: Place, pool: str) -> subprocess.Popen[bytes]:
    settings = {
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
        "PREFECT_WORKER_QUERY_SECONDS": str(ASK_S),
        "PREFECT_CLIENT_MAX_RETRIES": str(N_RETRIES),
        "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",  # what the server answers while its database is away
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
    }
    if os.environ.get("PREFECT_LOGGING_ROOT_LEVEL", "").upper() in ("DEBUG", "NOTSET"):
        settings["PREFECT_LOGGING_ROOT_LEVEL"] = "INFO"  # below it, websockets logs the login at the API
    environment = {"AWS_MAX_ATTEMPTS": str(N_S3_ATTEMPTS), **os.environ, **settings, **place.environment}
    return subprocess.Popen(command(place, pool), env=environment, start_new_session=True)


def _signal_group(worker: subprocess.Popen[bytes], number: int) -> bool:
    """Send a signal to a worker and its run; say whether one of them lives."""
    try:
        os.killpg(worker.pid, number)
    except ProcessLookupError:
        return False
    return True


def _stop(workers: Sequence[subprocess.Popen[bytes]]) -> None:
    for worker in workers:
        worker.terminate()
    deadline = time.monotonic() + STOP_S
    for worker in workers:
        with suppress(subprocess.TimeoutExpired):
            worker.wait(max(deadline - time.monotonic(), 0.1))
        _signal_group(worker, signal.SIGKILL)
        worker.wait()
    deadline = time.monotonic() + _GONE_S
    while any(_signal_group(worker, 0) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.01)  # a killed run is gone a moment after its worker


@contextmanager
def _asked_to_end() -> Iterator[Callable[[], bool]]:
    """Turn SIGTERM and Ctrl-C into an answer, so that workers are stopped in order."""
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
