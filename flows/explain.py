"""Flow `explain`: segment, attribute and reduce each scan, then the matrices of the cohort."""

from __future__ import annotations

from functools import partial
from typing import Any

from prefect import flow
from prefect.runtime import flow_run

from agg2exp.flows.alerts import alert
from agg2exp.tasks.explain import STAGES, reduce_cohort
from agg2exp.tasks.publish import publish
from agg2exp_core.pipeline import explain as pipeline
from agg2exp_core.pipeline.ahead import read_ahead
from agg2exp_core.pipeline.cache import model_of, store_of
from agg2exp_core.pipeline.outcomes import (
    Rejected,
    RunSummary,
    ScanJob,
    ScanOutcome,
    record_rejected,
    run_each,
)
from agg2exp_core.pipeline.plan import register
from agg2exp_core.pipeline.settings import ExplainSettings


def _scan_run_name() -> str:
    given = flow_run.parameters
    return f"{_field(given['scan'], 'scan_id')} {given['label']}"


def _field(value: Any, name: str) -> Any:
    return value[name] if isinstance(value, dict) else getattr(value, name)


@flow(name="explain-scan", flow_run_name=_scan_run_name, validate_parameters=False)
def explain_scan(scan: ScanJob, settings: ExplainSettings, label: str) -> ScanOutcome:
    """Segment one scan, explain what is missing of its classes, write its local matrix."""
    return pipeline.explain_scan(scan, settings, STAGES)


def explain_each(scans: list[ScanJob], settings: ExplainSettings) -> list[ScanOutcome]:
    """Explain scans one after the other, a run each; return how each fared."""
    label = settings.result_label
    return run_each(
        scans,
        store_of(settings.store),
        "explain",
        lambda scan: explain_scan(scan, settings, label),
        alert,
        partial(read_ahead, settings=settings),
    )


@flow(name="explain", flow_run_name="explain {settings.method}", validate_parameters=False)
def explain(
    scans: list[ScanJob],
    settings: ExplainSettings,
    rejected: list[Rejected] | None = None,
    n_kept: int = 0,
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
    n_kept : int
        Scans that were found complete before, for the summary.

    Returns
    -------
    RunSummary
        How each scan fared, and where the results are.
    """
    store, label = store_of(settings.store), settings.result_label
    register(store, model_of(settings), settings)
    outcomes = [*record_rejected(store, rejected or [], alert), *explain_each(scans, settings)]
    summary = RunSummary(settings.store, label, outcomes, reduce_cohort(settings.store, label), n_kept)
    publish(summary)
    return summary
