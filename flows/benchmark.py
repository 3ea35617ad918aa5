"""Flow `benchmark`: explain each scan by each method, and judge each by each metric."""

from __future__ import annotations

import time
from dataclasses import replace

from prefect import flow
from prefect.client.schemas.objects import State

from agg2exp_core.attribution import choose_classes
from agg2exp_core.store import Store
from flows.explain import explain_scan, record_rejected, run_each
from tasks.choices import BenchmarkSettings
from tasks.evaluate import evaluate, is_scored, perturb
from tasks.registering import register
from tasks.resources import model_of, store_of
from tasks.segment import segment
from tasks.settings import Rejected, RunSummary, ScanJob, ScanOutcome
from tasks.tabulate import tabulate


@flow(name="benchmark-scan", flow_run_name="benchmark {scan.scan_id}", validate_parameters=False)
def benchmark_scan(scan: ScanJob, settings: BenchmarkSettings) -> ScanOutcome:
    """Make what is missing of one scan's scores: attributions, perturbed outputs, scores."""
    started = time.monotonic()
    first = settings.methods[0]
    segmented = segment(scan, first)
    model, there = model_of(first), store_of(first.store).scan(scan.scan_id)
    wanted = [model.class_names[c] for c in choose_classes(model, first.classes)]
    classes = [name for name in wanted if name in segmented["present"]]
    units = [(method, choice) for choice in settings.metrics for method in settings.methods]
    missing = [(m, choice) for m, choice in units if not is_scored(there, m, choice, classes)]
    needed = [method for method, _ in missing]
    if any(choice.name == "roi_distance" for _, choice in missing):
        needed.append(settings.yardstick)
    for method in settings.explained:
        if method in needed:
            explain_scan(scan, replace(method, restore_voxels=True), method.result_label)
    for choice in settings.metrics:
        of_metric = [method for method, other in missing if other == choice]
        if of_metric and choice.metric.perturbations and choice.params.get("precision") is None:
            perturb(scan.scan_id, first, choice)
        for method in of_metric:
            evaluate(scan.scan_id, method, choice, settings.yardstick, classes)
    return ScanOutcome(
        scan_id=scan.scan_id,
        status="done",
        n_classes=len(classes),
        n_computed=len(missing),
        n_kept=len(units) - len(missing),
        seconds=time.monotonic() - started,
    )


def register_all(store: Store, settings: BenchmarkSettings) -> None:
    """Write down which methods the store will hold, before anything runs."""
    for method in settings.explained:
        register(store, model_of(method), method)


def benchmark_each(scans: list[ScanJob], settings: BenchmarkSettings) -> list[ScanOutcome]:
    """Benchmark scans one after the other; return how each fared."""

    def run(scan: ScanJob) -> State[ScanOutcome]:
        return benchmark_scan(scan, settings, return_state=True)

    return run_each(scans, store_of(settings.methods[0].store), "benchmark", run)


@flow(name="benchmark", validate_parameters=False)
def benchmark(
    scans: list[ScanJob], settings: BenchmarkSettings, rejected: list[Rejected] | None = None
) -> RunSummary:
    """Benchmark methods on scans; one that fails is recorded with its reason, and the others go on.

    What the store holds of attributions and scores is kept: a new method, metric or scan computes only
    what is new.
    """
    uri = settings.methods[0].store
    store = store_of(uri)
    register_all(store, settings)
    outcomes = record_rejected(store, rejected or []) + benchmark_each(scans, settings)
    tabulate(uri)
    return RunSummary(uri, "benchmark", outcomes, n_cohort=0)
