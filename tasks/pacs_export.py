"""Results back to a PACS as tasks; nothing that is recorded or shown tells whose they are."""

from __future__ import annotations

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from agg2exp.tasks.artifacts import artifact_key
from agg2exp_core.export import pacs
from agg2exp_core.pipeline.outcomes import ScanOutcome

return_scan = task(
    name="return results",
    task_run_name="return results of {scan_id}",
    persist_result=False,
    cache_policy=NO_CACHE,
)(pacs.return_scan)


@task(name="report returned")
def report_returned(label: str, outcomes: list[ScanOutcome]) -> None:
    """Show how each scan fared in the UI."""
    n_done = sum(outcome.status == "done" for outcome in outcomes)
    create_table_artifact(
        key=artifact_key("returned", label),
        description=f"{label}: results of {n_done} of {len(outcomes)} scans stored in the PACS",
        table=[
            {"scan": o.scan_id, "status": o.status, "objects": o.n_computed, "reason": o.reason}
            for o in outcomes
        ],
    )
