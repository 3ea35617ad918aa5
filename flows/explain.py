"""Flow `explain`: segment, attribute and reduce each scan, then the matrices of the cohort."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run

from agg2exp_core.attribution import choose_classes
from agg2exp_core.errors import StoreError
from agg2exp_core.store import Store
from agg2exp_core.store.at_work import writing
from flows.alerts import SCAN_QUARANTINED, record_failure
from tasks.attribute import attribute_classes, missing_classes
from tasks.cohort import reduce_cohort
from tasks.importance import add_regions, reduce_scan
from tasks.publish import publish
from tasks.registering import register
from tasks.resources import model_of, store_of
from tasks.segment import segment
from tasks.settings import ExplainSettings, Rejected, RunSummary, ScanJob, ScanOutcome, reason_of


def _scan_run_name() -> str:
    given = flow_run.parameters
    return f"{_field(given['scan'], 'scan_id')} {given['label']}"


def _field(value: Any, name: str) -> Any:
    return value[name] if isinstance(value, dict) else getattr(value, name)


@flow(name="explain-scan", flow_run_name=_scan_run_name, validate_parameters=False)
def explain_scan(scan: ScanJob, settings: ExplainSettings, label: str) -> ScanOutcome:
    """Segment one scan, explain what is missing of its classes, write its local matrix."""
    started = time.monotonic()
    segmented = segment(scan, settings)
    if settings.rois is not None:
        add_regions(settings.store, scan.scan_id, settings.rois, settings.roi_names)
    model = model_of(settings)
    wanted = [model.class_names[c] for c in choose_classes(model, settings.classes)]
    if not settings.attribution_method.aggregation.startswith("roi"):
        wanted = [name for name in wanted if name in segmented["present"]]
    missing = missing_classes(settings, scan.scan_id, segmented["content_hash"], wanted)
    size = settings.classes_per_task or max(len(missing), 1)
    n_computed = sum(
        attribute_classes(scan.scan_id, segmented["content_hash"], missing[i : i + size], settings)
        for i in range(0, len(missing), size)
    )
    reduce_scan(settings.store, scan.scan_id, label)
    return ScanOutcome(
        scan_id=scan.scan_id,
        status="done",
        n_classes=len(segmented["present"]),
        n_computed=n_computed,
        n_kept=len(wanted) - len(missing),
        seconds=time.monotonic() - started,
    )


@flow(name="explain", flow_run_name="explain {settings.method}", validate_parameters=False)
def explain(
    scans: list[ScanJob], settings: ExplainSettings, rejected: list[Rejected] | None = None
) -> RunSummary:
    """Explain scans; one that fails is recorded with its reason, and the others go on.

    Parameters
    ----------
    scans : list of ScanJob
        The scans.
    settings : ExplainSettings
        How they are explained.
    rejected : list of Rejected, optional
        Scans that were found unusable before: they are recorded with the others.

    Returns
    -------
    RunSummary
        How each scan fared, and where the results are.
    """
    store = store_of(settings.store)
    register(store, model_of(settings), settings)
    label = settings.result_label
    outcomes = [*record_rejected(store, rejected or []), *explain_each(scans, settings)]
    n_cohort = reduce_cohort(settings.store, label)
    summary = RunSummary(settings.store, label, outcomes, n_cohort)
    publish(summary)
    return summary


def record_rejected(store: Store, rejected: list[Rejected]) -> list[ScanOutcome]:
    """Record scans that were found unusable; return how each fared."""
    for bad in rejected:
        record_failure(store, bad.scan_id, "read", bad.reason, SCAN_QUARANTINED)
    return [ScanOutcome(bad.scan_id, "rejected", bad.reason) for bad in rejected]


def run_each(
    scans: list[ScanJob], store: Store, stage: str, run: Callable[[ScanJob], State[ScanOutcome]]
) -> list[ScanOutcome]:
    """Run a flow on scans one after the other; one that fails is recorded with its reason."""
    outcomes = []
    for scan in scans:
        started = time.monotonic()
        try:
            with writing(store.root, scan.scan_id):
                result: object = run(scan).result(raise_on_failure=False)
        except StoreError as error:
            result = error
        if isinstance(result, ScanOutcome):
            store.clear_failure(scan.scan_id)
            outcomes.append(result)
        else:
            reason = reason_of(result, scan.scan_id, scan.path)
            record_failure(store, scan.scan_id, stage, reason)
            outcomes.append(ScanOutcome(scan.scan_id, "failed", reason, seconds=time.monotonic() - started))
    return outcomes


def explain_each(scans: list[ScanJob], settings: ExplainSettings) -> list[ScanOutcome]:
    """Explain scans one after the other; return how each fared."""

    def run(scan: ScanJob) -> State[ScanOutcome]:
        return explain_scan(scan, settings, settings.result_label, return_state=True)

    return run_each(scans, store_of(settings.store), "explain", run)
