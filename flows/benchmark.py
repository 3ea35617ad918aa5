"""Flow `benchmark`: explain each scan by each method, and judge each by each metric."""

from __future__ import annotations

from prefect import flow

from agg2exp.flows.alerts import alert
from agg2exp.flows.explain import explain_scan
from agg2exp.tasks.benchmark import evaluate, perturb, tabulate
from agg2exp.tasks.explain import segment
from agg2exp_core.pipeline import benchmark as pipeline
from agg2exp_core.pipeline.benchmark import BenchmarkStages, register_all
from agg2exp_core.pipeline.benchmark_settings import BenchmarkSettings
from agg2exp_core.pipeline.cache import store_of
from agg2exp_core.pipeline.outcomes import (
    Rejected,
    RunSummary,
    ScanJob,
    ScanOutcome,
    record_rejected,
    run_each,
)
from agg2exp_core.pipeline.settings import ExplainSettings


def _explain(scan: ScanJob, settings: ExplainSettings) -> ScanOutcome:
    return explain_scan(scan, settings, settings.result_label)


STAGES = BenchmarkStages(segment, _explain, perturb, evaluate)
"""The stages of one scan."""


@flow(name="benchmark-scan", flow_run_name="benchmark {scan.scan_id}", validate_parameters=False)
def benchmark_scan(scan: ScanJob, settings: BenchmarkSettings) -> ScanOutcome:
    """Make what is missing of one scan's scores: attributions, perturbed outputs, scores."""
    return pipeline.benchmark_scan(scan, settings, STAGES)


def benchmark_each(scans: list[ScanJob], settings: BenchmarkSettings) -> list[ScanOutcome]:
    """Benchmark scans one after the other, a run each; return how each fared."""
    store = store_of(settings.store)
    return run_each(scans, store, "benchmark", lambda scan: benchmark_scan(scan, settings), alert)


@flow(name="benchmark", validate_parameters=False)
def benchmark(
    scans: list[ScanJob], settings: BenchmarkSettings, rejected: list[Rejected] | None = None
) -> RunSummary:
    """Benchmark methods on scans; one that fails is recorded with its reason, and the others go on.

    What the store holds of attributions and scores is kept: a new method, metric or scan computes only
    what is new.

    Parameters
    ----------
    scans : list of ScanJob
        The scans.
    settings : BenchmarkSettings
        Methods and metrics.
    rejected : list of Rejected, optional
        Scans that were found unusable before: they are recorded with the others.
    """
    store = store_of(settings.store)
    register_all(store, settings)
    outcomes = record_rejected(store, rejected or [], alert) + benchmark_each(scans, settings)
    tabulate(settings.store)
    return RunSummary(settings.store, "benchmark", outcomes, n_cohort=0)
