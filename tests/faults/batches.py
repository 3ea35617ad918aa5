"""A batch among faults, and what the server remembers of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import boto3
import httpx
import numpy as np
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.deployments import run_deployment

from agg2exp.flows.batch import PART
from agg2exp_core.pipeline.settings import ExplainSettings
from tests.faults.monkey import Fault

GOES_ON_S = 90.0
"""A batch that crashed is scheduled again within this."""

SEEN_S = 120.0
"""A killed run is seen as crashed within this, servers that are away meanwhile not counted."""

T = TypeVar("T")


def patiently(ask: Callable[[], T], seconds: float = 300.0) -> T:
    """Return what the server answers, which may be away."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except httpx.HTTPError:
            if time.monotonic() > deadline:
                raise
            time.sleep(2)


def send(scans: Path, settings: ExplainSettings) -> FlowRun:
    """Ask for a batch, a scan a run."""
    parameters = {"scans": [str(scans)], "settings": settings.model_dump(mode="json"), "queue": "backfill"}
    return patiently(
        lambda: run_deployment("explain-batch/backfill", parameters=parameters, timeout=0, as_subflow=False)
    )


def ended(run_id: UUID, seconds: float) -> FlowRun:
    """Return a batch once it ended for good: one that crashed may go on.

    Raises
    ------
    TimeoutError
        If it does not within so many seconds.
    """
    deadline, final_since = time.monotonic() + seconds, None
    with get_client(sync_client=True) as client:
        while time.monotonic() < deadline:
            run = patiently(lambda: client.read_flow_run(run_id))
            assert run.state is not None
            if not run.state.is_final():
                final_since = None
            else:
                final_since = final_since or time.monotonic()
                if not run.state.is_crashed() or time.monotonic() - final_since > GOES_ON_S:
                    return run
            time.sleep(2)
    raise TimeoutError(f"the batch did not end within {seconds} s: {run.state}")


def parts(client: SyncPrefectClient) -> list[FlowRun]:
    """Return all runs of parts."""
    found: list[FlowRun] = []
    while True:
        page = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[PART])), limit=200, offset=len(found)
        )
        found += page
        if len(page) < 200:
            return found


@dataclass(frozen=True)
class Noticed:
    """What became of a kill.

    Parameters
    ----------
    fault : Fault
        The kill.
    ended_as : str
        Name of the last state of its run; empty if it hit no run.
    crashed_s, again_s : float or None
        Seconds from the kill to the Crashed state, and to the next start with these scans.
    most_s : float
        Within which it has to be seen: servers that were away meanwhile count.
    """

    fault: Fault
    ended_as: str
    crashed_s: float | None
    again_s: float | None
    most_s: float

    @property
    def in_time(self) -> bool:
        """Whether it was seen in time, or there was nothing to see: the run had told its end."""
        if self.crashed_s is None:
            return self.ended_as not in ("Running", "Pending", "Crashed")
        return self.crashed_s <= self.most_s


def noticed(faults: Sequence[Fault]) -> list[Noticed]:
    """Return what became of each fault."""
    with get_client(sync_client=True) as client:
        runs = {run.id: run for run in parts(client)}
        return [_noticed(client, runs, fault, _away(faults, fault.at)) for fault in faults]


def _away(faults: Sequence[Fault], at: datetime) -> float:
    """Return for how many of the seconds after a moment, in which a kill is to be seen, servers were away."""
    until = at + timedelta(seconds=SEEN_S)
    return sum(f.seconds for f in faults if at - timedelta(seconds=f.seconds) <= f.at <= until)


def report(seen: Sequence[Noticed], began: datetime) -> str:
    """Return the log of faults, and how soon crashed runs were seen and sent again."""
    lines = ["", f"{'s':>6}  {'fault':10}  seen s  again s  ended as"]
    for one in seen:
        after, kind = (one.fault.at - began).total_seconds(), one.fault.kind
        lines.append(f"{after:6.0f}  {kind:10}  {_text(one.crashed_s)}  {_text(one.again_s)}  {one.ended_as}")
    counts = Counter(one.fault.kind for one in seen)
    lines.append("faults: " + ", ".join(f"{kind} {n}" for kind, n in counts.items()))
    with get_client(sync_client=True) as client:
        runs = parts(client)
    states = Counter(run.state.name for run in runs if run.state)
    lines.append(f"runs of parts: {len(runs)}, " + ", ".join(f"{name} {n}" for name, n in states.items()))
    for kind in counts:
        of = [one.crashed_s for one in seen if one.fault.kind == kind and one.crashed_s is not None]
        if of:
            times = f"median {np.median(of):.0f}, most {max(of):.0f} of {len(of)}"
            lines.append(f"seconds to Crashed, {kind}: {times}")
    return "\n".join(lines)


def _text(seconds: float | None) -> str:
    return f"{'-':>6}" if seconds is None else f"{seconds:6.0f}"


def _noticed(client: SyncPrefectClient, runs: dict[UUID, FlowRun], fault: Fault, away_s: float) -> Noticed:
    if not fault.runs:
        return Noticed(fault, "", None, None, 0.0)
    states = sorted(client.read_flow_run_states(fault.runs[0]), key=lambda state: state.timestamp)
    crashes = [s.timestamp for s in states if s.type == StateType.CRASHED and s.timestamp >= fault.at]
    starts = [s.timestamp for s in states if s.type == StateType.RUNNING and s.timestamp > fault.at]
    part = runs.get(fault.runs[0])
    if part is not None:
        others = [run for run in runs.values() if run.id != part.id and set(run.tags) == set(part.tags)]
        starts += [run.start_time for run in others if run.start_time and run.start_time > fault.at]
    crashed, again = (
        (min(times) - fault.at).total_seconds() if times else None for times in (crashes, starts)
    )
    return Noticed(fault, states[-1].name or "", crashed, again, SEEN_S + away_s)


def stored(uri: str) -> dict[str, bytes]:
    """Return all that a store holds, by key."""
    if uri.startswith("s3://"):
        name, _, prefix = uri.removeprefix("s3://").partition("/")
        objects = boto3.Session().resource("s3").Bucket(name).objects.all()
        return {item.key.removeprefix(f"{prefix}/"): item.get()["Body"].read() for item in objects}
    files = (path for path in Path(uri).rglob("*") if path.is_file())
    return {str(path.relative_to(uri)): path.read_bytes() for path in files}
