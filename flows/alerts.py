"""What somebody should hear of: Prefect events that an automation can carry to a person."""

from __future__ import annotations

from prefect.events import emit_event

from agg2exp_core.pipeline.outcomes import Alert

SCAN_FAILED = "agg2exp.scan.failed"
"""A scan could not be explained, or not be taken in; it is tried again."""
SCAN_QUARANTINED = "agg2exp.scan.quarantined"
"""A scan cannot be used as it is."""


def alert(told: Alert) -> None:
    """Emit the event of a scan that failed, or cannot be used, with its reason."""
    emit_event(
        SCAN_QUARANTINED if told.is_quarantined else SCAN_FAILED,
        resource={
            "prefect.resource.id": f"agg2exp.scan.{told.scan_id}",
            "prefect.resource.name": told.scan_id,
        },
        payload={"scan": told.scan_id, "stage": told.stage, "reason": told.reason},
    )
