"""Flow `retention`: voxels of old attributions go, matrices stay."""

from __future__ import annotations

from prefect import flow, get_run_logger

from agg2exp.flows.places import require_places
from agg2exp.tasks.retention import drop_old, report_retention
from agg2exp_core.pipeline.retention import RetentionSummary, retain
from agg2exp_core.pipeline.settings import RetentionSettings


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
    require_places(settings)
    summary = retain(settings, drop_old)
    get_run_logger().info(summary.said)
    report_retention(summary)
    return summary
