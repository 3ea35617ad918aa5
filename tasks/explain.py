"""The stages of an explanation as tasks: named after their scan, tried again, with progress in the UI."""

from __future__ import annotations

from functools import partial

from prefect import task
from prefect.runtime import task_run

from agg2exp.tasks.progress import reporting
from agg2exp.tasks.retrying import RETRYING
from agg2exp.tasks.time_limit import within
from agg2exp_core.pipeline import explain, reduce
from agg2exp_core.pipeline.explain import ScanStages, Segmented
from agg2exp_core.pipeline.limits import BASE_S, attribution_limit_s
from agg2exp_core.pipeline.outcomes import ScanJob
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


@task(name="segment", task_run_name=_segment_name, **RETRYING)
def segment(scan: ScanJob, settings: ExplainSettings) -> Segmented:
    """Segment a scan, and lay image and prediction into the store, unless it holds them already."""
    with within(lambda: BASE_S, scan.scan_id, "segmentation"):
        return explain.segment(scan, settings)


@task(name="attribute", task_run_name=_attribute_name, **RETRYING)
def attribute_classes(scan_id: str, content_hash: str, classes: list[str], settings: ExplainSettings) -> int:
    """Explain classes of a scan, each a unit or its sums; return how many were written."""
    limit = partial(attribution_limit_s, settings, scan_id, len(classes))
    with within(limit, scan_id, "attribution"), reporting(scan_id, settings.result_label) as progress:
        return explain.attribute_classes(scan_id, content_hash, classes, settings, progress)


add_regions = task(name="regions", task_run_name="regions {scan_id}", **RETRYING)(reduce.add_regions)
drop_region = task(name="drop region", task_run_name="drop region {name} of {scan_id}", **RETRYING)(
    reduce.drop_region
)


@task(name="importance", task_run_name="importance {scan_id} {label}", **RETRYING)
def reduce_scan(store: str, scan_id: str, label: str) -> bool:
    """Write the local matrix of a scan unless it is there; say whether it was computed."""
    with within(lambda: BASE_S, scan_id, "reduction"):
        return reduce.reduce_scan(store, scan_id, label)


reduce_cohort = task(name="cohort", task_run_name="cohort {label}", **RETRYING)(reduce.reduce_cohort)

STAGES = ScanStages(segment, add_regions, attribute_classes, reduce_scan)
"""The stages of one scan."""
