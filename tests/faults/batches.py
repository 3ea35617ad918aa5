"""A batch among faults, and what the server remembers of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
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

from flows.batch import PART
from tasks.settings import ExplainSettings
from tests.faults.monkey import Fault

GOES_ON_S = 90.0
"""A batch that crashed is scheduled again within this."""

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
    parameters = {"scans": [str(scans)], "settings": asdict(settings), "queue": "backfill"}
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


def report(faults: Sequence[Fault], began: datetime) -> str:
    """Return the log of faults, and how soon crashed runs were seen and sent again."""
    with get_client(sync_client=True) as client:
        runs = {run.id: run for run in parts(client)}
        lines = ["", f"{'s':>6}  fault       seen s  again s"]
        seen: dict[str, list[float]] = {}
        for fault in faults:
            after = (fault.at - began).total_seconds()
            crashed, again = _latencies(client, runs, fault)
            if crashed is not None:
                seen.setdefault(fault.kind, []).append(crashed)
            lines.append(f"{after:6.0f}  {fault.kind:10}  {_text(crashed)}  {_text(again)}")
    counts = Counter(fault.kind for fault in faults)
    lines.append("faults: " + ", ".join(f"{kind} {n}" for kind, n in counts.items()))
    states = Counter(run.state.name for run in runs.values() if run.state)
    lines.append(f"runs of parts: {len(runs)}, " + ", ".join(f"{name} {n}" for name, n in states.items()))
    lines += [
        f"seconds to Crashed, {kind}: median {np.median(of):.0f}, most {max(of):.0f} of {len(of)}"
        for kind, of in seen.items()
    ]
    return "\n".join(lines)


def _text(seconds: float | None) -> str:
    return f"{'-':>6}" if seconds is None else f"{seconds:6.0f}"


def _latencies(
    client: SyncPrefectClient, runs: dict[UUID, FlowRun], fault: Fault
) -> tuple[float | None, float | None]:
    """Return the seconds from a kill to the Crashed state, and to the next start with these scans."""
    if not fault.runs:
        return None, None
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
    return crashed, again


def stored(uri: str) -> dict[str, bytes]:
    """Return all that a store holds, by key."""
    if uri.startswith("s3://"):
        name, _, prefix = uri.removeprefix("s3://").partition("/")
        objects = boto3.Session().resource("s3").Bucket(name).objects.all()
        return {item.key.removeprefix(f"{prefix}/"): item.get()["Body"].read() for item in objects}
    files = (path for path in Path(uri).rglob("*") if path.is_file())
    return {str(path.relative_to(uri)): path.read_bytes() for path in files}
