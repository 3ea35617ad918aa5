"""Faults at random moments: processes killed, servers ended and started again, a wire cut."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import numpy as np
import psutil

from tests.faults.installation import Installation, variable

KINDS = {"run": 0.6, "worker": 0.15, "machine": 0.25}
"""Who is killed, and how often: a run of a part, a worker, a worker with its run."""


def random_kills(n: int, seed: int) -> list[str]:
    """Return n kinds of kills; two of them of the batch itself, which is started three times at most."""
    rng = np.random.default_rng(seed)
    kills = [str(kind) for kind in rng.choice(list(KINDS), size=n, p=list(KINDS.values()))]
    return [*kills[: n // 3], "batch", *kills[n // 3 + 1 : -n // 4], "batch", *kills[-n // 4 + 1 :]]


@dataclass(frozen=True)
class Fault:
    """What was done.

    Parameters
    ----------
    kind : str
        One of `KINDS`, ``batch``, or the server that was ended.
    at : datetime
        When.
    runs : tuple of UUID
        Whose process was killed.
    seconds : float
        For how long a server was away.
    """

    kind: str
    at: datetime
    runs: tuple[UUID, ...] = ()
    seconds: float = 0.0


@dataclass
class Monkey:
    """A thread that makes faults until it made enough of them; a context.

    Parameters
    ----------
    place : Installation
        Where.
    kills : sequence of str
        Whom to kill, in this order.
    pause_s : (float, float)
        Between two faults: the least and the most.
    outages : mapping of int to (str, float)
        After how many kills which server goes away, and for how many seconds.
    seed : int
        Of the choices.
    """

    place: Installation
    kills: Sequence[str]
    pause_s: tuple[float, float]
    outages: Mapping[int, tuple[str, float]]
    seed: int = 0
    faults: list[Fault] = field(default_factory=list)
    error: BaseException | None = None

    def __enter__(self) -> Monkey:
        self._rng = np.random.default_rng(self.seed)
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._leave.set()
        self._thread.join()

    @property
    def n_killed(self) -> int:
        """How many kills it made."""
        return sum(fault.kind in (*KINDS, "batch") for fault in self.faults)

    @property
    def is_done(self) -> bool:
        """Whether it made all of its faults."""
        return self.n_killed == len(self.kills) and self._due() is None

    def _due(self) -> tuple[str, float] | None:
        """Return the next outage, if enough was killed before it."""
        n_made = len(self.faults) - self.n_killed
        moments = sorted(self.outages)[n_made:]
        return self.outages[moments[0]] if moments and moments[0] <= self.n_killed else None

    def _live(self) -> None:
        try:
            while not self.is_done and not self._leave.wait(self._rng.uniform(*self.pause_s)):
                if (outage := self._due()) is not None:
                    self._outage(*outage)
                else:
                    self._kill(self.kills[self.n_killed])
        except BaseException as error:
            self.error = error

    def _kill(self, kind: str) -> None:
        """Kill one of a kind, if there is one."""
        workers, runs = by_pool(self.place.processes())
        parts = [run for run in runs if _pool_of(run, workers) != "cpu"]
        found = {
            "run": parts,
            "batch": [run for run in runs if _pool_of(run, workers) == "cpu"],
            "worker": [worker for worker, pool in workers.items() if pool != "cpu"],
            "machine": [w for w, pool in workers.items() if pool != "cpu" and set(w.children()) & set(parts)],
        }[kind]
        if not found:
            return
        victim = found[self._rng.integers(len(found))]
        doomed = [victim, *(victim.children() if kind == "machine" else [])]
        ids = tuple(UUID(run) for run in map(_run_id, doomed) if run)
        at = datetime.now(UTC)
        for process in doomed:
            process.kill()
        self.faults.append(Fault(kind, at, ids))

    def _outage(self, what: str, seconds: float) -> None:
        end, begin = self._switches()[what]
        at = datetime.now(UTC)
        end()
        time.sleep(seconds)
        begin()
        self.faults.append(Fault(what, at, seconds=seconds))

    def _switches(self) -> dict[str, tuple[Callable[[], None], Callable[[], None]]]:
        place = self.place
        return {
            "PostgreSQL": (lambda: place.database.stop("immediate"), place.database.start),
            "Redis": (lambda: place.messages.stop(signal.SIGKILL), place.messages.start),
            "S3": (place.objects.kill_gateway, place.objects.start_gateway),
            "wire": (place.wire.cut, place.wire.mend),
        }


def _run_id(process: psutil.Process) -> str | None:
    return variable(process, "PREFECT__FLOW_RUN_ID")


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def by_pool(
    processes: list[psutil.Process],
) -> tuple[dict[psutil.Process, str], list[psutil.Process]]:
    """Return Prefect's workers with their pools, and the processes of runs."""
    words = {process: _words(process) for process in processes}
    workers = {p: w[w.index("--pool") + 1] for p, w in words.items() if "start" in w and "--pool" in w}
    return workers, [p for p, w in words.items() if "prefect.engine" in w and _run_id(p)]


def _pool_of(run: psutil.Process, workers: Mapping[psutil.Process, str]) -> str | None:
    """Return the pool of the worker of a run; None if that worker is gone."""
    try:
        return workers.get(run.parent())
    except psutil.Error:
        return None
