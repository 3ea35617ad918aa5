"""Intake as tasks: what arrived is found, and taken in one by one; no parameter or name tells whose it is."""

from __future__ import annotations

from typing import Any

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from agg2exp_core.intake import Arrival, Entry, settled, take_arrival
from tasks.intake_settings import IngestSettings, intake_of, source_of
from tasks.settings import artifact_key

_UNSEEN: dict[str, Any] = {"persist_result": False, "cache_policy": NO_CACHE}
"""Arguments and results stay in this process: they hold names of files."""


@task(name="look for arrivals", **_UNSEEN)
def find_arrivals(settings: IngestSettings) -> list[Arrival]:
    """Return what is new in the source and has settled."""
    return settled(source_of(settings), intake_of(settings), settings.settle_s)


@task(name="take in", task_run_name="take in {arrival.token:.8}", **_UNSEEN)
def take_in(settings: IngestSettings, arrival: Arrival) -> list[Entry]:
    """Take in the scans of one arrival; what is bad is in the ledger, with its reason."""
    return take_arrival(source_of(settings), intake_of(settings), arrival)


@task(name="report intake", **_UNSEEN)
def report_intake(entries: list[Entry]) -> None:
    """Show how each series fared in the UI."""
    create_table_artifact(
        key=artifact_key("intake"),
        description="What came in, by the keyed hash of its content",
        table=[
            {"content": e.content[:12], "status": e.status, "scan": e.scan_id, "reason": e.reason}
            for e in entries
        ],
    )
