"""The stages of an explanation as tasks: named after their scan, tried again, with progress in the UI."""

from __future__ import annotations

from prefect import task
from prefect.runtime import task_run

from agg2exp.tasks.progress import reporting
from agg2exp.tasks.retrying import RETRYING
from agg2exp_core.pipeline import explain, reduce
from agg2exp_core.pipeline.explain import ScanStages
from agg2exp_core.pipeline.settings import ExplainSettings

MOST_NAMED = 3
"""Classes whose names fit into that of a task run."""


def _segment_name() -> str:
    return f"segment {task_run.parameters['scan'].scan_id}"


def _attribute_name() -> str:
    given = task_run.parameters
    classes = given["classes"]
    text = ", ".join(classes) if len(classes) <= MOST_NAMED else f"{len(classes)} classes"
    return f"attribute {given['scan_id']} {given['settings'].result_label} {text}"


segment = task(name="segment", task_run_name=_segment_name, **RETRYING)(explain.segment)


@task(name="attribute", task_run_name=_attribute_name, **RETRYING)
def attribute_classes(scan_id: str, content_hash: str, classes: list[str], settings: ExplainSettings) -> int:
    """Explain classes of a scan, each a unit or its sums; return how many were written."""
    with reporting(scan_id, settings.result_label) as progress:
        return explain.attribute_classes(scan_id, content_hash, classes, settings, progress)


add_regions = task(name="regions", task_run_name="regions {scan_id}", **RETRYING)(reduce.add_regions)
drop_region = task(name="drop region", task_run_name="drop region {name} of {scan_id}", **RETRYING)(
    reduce.drop_region
)
reduce_scan = task(name="importance", task_run_name="importance {scan_id} {label}", **RETRYING)(
    reduce.reduce_scan
)
reduce_cohort = task(name="cohort", task_run_name="cohort {label}", **RETRYING)(reduce.reduce_cohort)

STAGES = ScanStages(segment, add_regions, attribute_classes, reduce_scan)
"""The stages of one scan."""
