"""Drop old voxels, and show how each scan fared."""

from __future__ import annotations

from prefect import task
from prefect.artifacts import create_table_artifact

from agg2exp.tasks.artifacts import artifact_key
from agg2exp.tasks.retrying import RETRYING
from agg2exp_core.pipeline import retention
from agg2exp_core.pipeline.retention import RetentionSummary

drop_old = task(name="drop voxels", task_run_name="drop voxels of {scan_id}", **RETRYING)(retention.drop_old)


@task(name="report retention")
def report_retention(summary: RetentionSummary) -> None:
    """Show how each scan fared in the UI."""
    create_table_artifact(
        key=artifact_key("retention", summary.settings.store),
        description=summary.said,
        table=[
            {
                "scan": scan.scan_id,
                "status": scan.status,
                "dropped": scan.n_dropped,
                "kept": scan.n_kept,
                "MB": round(scan.n_bytes / 1e6, 1),
                "reason": scan.reason,
            }
            for scan in summary.scans
        ],
    )
