"""Flow `retention`: voxels of old attributions go, matrices stay."""

from __future__ import annotations

from prefect import flow, get_run_logger

from tasks.resources import store_of
from tasks.retention import drop_old, report_retention
from tasks.retention_settings import RetentionSettings, RetentionSummary, ScanRetention
from tasks.settings import reason_of


@flow(name="retention", flow_run_name="retention")
def retention(settings: RetentionSettings) -> RetentionSummary:
    """Drop the voxels of attributions that were finished long enough ago, scan by scan.

    Parameters
    ----------
    settings : RetentionSettings
        Which store, and how long voxels are kept.

    Returns
    -------
    RetentionSummary
        How each scan fared, and the bytes that are free.
    """
    scans = []
    for scan_id in store_of(settings.store).scans():
        outcome = drop_old(settings, scan_id, return_state=True).result(raise_on_failure=False)
        if not isinstance(outcome, ScanRetention):
            outcome = ScanRetention(scan_id, "failed", reason=reason_of(outcome, scan_id, settings.store))
        scans.append(outcome)
    summary = RetentionSummary(settings, scans)
    get_run_logger().info(summary.said)
    report_retention(summary)
    return summary
