"""What somebody should hear of: Prefect events that an automation can carry to a person."""

from __future__ import annotations

from prefect.events import emit_event

from agg2exp_core.store import Failure, Store

SCAN_FAILED = "agg2exp.scan.failed"
"""A scan could not be explained, or not be taken in; it is tried again."""
SCAN_QUARANTINED = "agg2exp.scan.quarantined"
"""A scan cannot be used as it is."""


def alert(event: str, scan: str, stage: str, reason: str) -> None:
    """Emit an event of a scan, with its reason.

    Parameters
    ----------
    event : {"agg2exp.scan.failed", "agg2exp.scan.quarantined"}
        What happened.
    scan : str
        Its id, or where it has none the keyed hash of its content.
    stage : str
        Where it happened.
    reason : str
        Why, in one sentence that names nobody.
    """
    emit_event(
        event,
        resource={"prefect.resource.id": f"agg2exp.scan.{scan}", "prefect.resource.name": scan},
        payload={"scan": scan, "stage": stage, "reason": reason},
    )


def record_failure(store: Store, scan_id: str, stage: str, reason: str, event: str = SCAN_FAILED) -> None:
    """Record why a scan failed; what is recorded already is told once."""
    if store.failure(scan_id) != Failure(stage, reason):
        store.record_failure(scan_id, stage, reason)
        alert(event, scan_id, stage, reason)
