"""Benchmark methods on scans: explain by each, perturb each scan once for all, score each by each metric."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from agg2exp_core.attribution import Execution, choose_classes
from agg2exp_core.attribution.method import Geometry
from agg2exp_core.errors import Agg2ExpError, ScanError, StoreError, UsageError
from agg2exp_core.metrics import EvaluatedScan, OutputDrops, Perturbations, Subject, recipe
from agg2exp_core.pipeline.benchmark_settings import BenchmarkSettings, MetricChoice
from agg2exp_core.pipeline.cache import model_of, store_of
from agg2exp_core.pipeline.explain import Segmented, explain_scan, segment
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
from agg2exp_core.pipeline.tabulate import tabulate
from agg2exp_core.remarks import sentence
from agg2exp_core.store import ScanStore, Store, identity
from agg2exp_core.store.evaluations import Evaluations
from agg2exp_core.volumes import load_scan
from agg2exp_core.windows import Tiling

SCORES_VERSION = 4
"""Raised when the meaning of a score changes, so that old ones are made anew."""


def score_identity(
    scan_store: ScanStore, settings: ExplainSettings, choice: MetricChoice, classes: list[str]
) -> str:
    """Return the identity of the scores of one method by one metric in one scan."""
    return identity(
        version=SCORES_VERSION,
        scan=scan_store.content_hash(),
        scan_id=scan_store.scan_id,
        model=model_of(settings).fingerprint,
        method=settings.recipe,
        metric=recipe(choice.metric),
        seed=settings.seed,
        classes=sorted(classes),
    )


def is_scored(
    scan_store: ScanStore, settings: ExplainSettings, choice: MetricChoice, classes: list[str]
) -> bool:
    """Say whether the store holds these scores."""
    name = score_identity(scan_store, settings, choice, classes)
    found = Evaluations(store_of(settings.store), scan_store.scan_id)
    return found.scores(settings.result_label, choice.label, name) is not None


def _clean(scan_store: ScanStore, settings: ExplainSettings) -> EvaluatedScan:
    prediction = scan_store.prediction()
    if prediction is None:
        raise StoreError(
            scan_store.scan_id,
            got="no prediction",
            allowed="a segmented scan",
            remedy="explain the scan first",
        )
    execution = Execution(window_batch=settings.window_batch)
    return EvaluatedScan(model_of(settings), scan_store.image(), prediction, settings.seed, execution)


def _output_drops(
    clean: EvaluatedScan, store: Store, perturbations: Perturbations
) -> Callable[[int], OutputDrops]:
    """Return what gives the first n rows of output drops, stored or made."""
    name = identity(
        scan=clean.scan.content_hash,
        scan_id=clean.scan.scan_id,
        model=clean.model.fingerprint,
        perturbations=dict(perturbations.recipe),
        seed=clean.seed,
    )
    most = perturbations.most(clean.model.n_classes)
    evaluations, make = Evaluations(store, clean.scan.scan_id), partial(perturbations.output_drops, clean)
    return lambda n: evaluations.output_drops(name, min(n, most), make)


def perturb(scan_id: str, settings: ExplainSettings, choice: MetricChoice) -> int:
    """Make the perturbed outputs that a metric needs, for all methods; return their number."""
    perturbations = choice.metric.perturbations
    if perturbations is None:
        return 0
    store = store_of(settings.store)
    clean = _clean(store.scan(scan_id), settings)
    return len(_output_drops(clean, store, perturbations)(perturbations.most(clean.model.n_classes)))


def evaluate(
    scan_id: str,
    settings: ExplainSettings,
    choice: MetricChoice,
    reference: ExplainSettings,
    classes: list[str],
) -> int:
    """Score one method by one metric in one scan; return the number of classes."""
    store, metric = store_of(settings.store), choice.metric
    scan_store, label = store.scan(scan_id), settings.result_label
    clean = _clean(scan_store, settings)

    def matrix(of_label: str) -> xr.Dataset:
        found = scan_store.importance(of_label)
        if found is None:
            raise StoreError(
                scan_id, got=f"no matrix of {of_label}", allowed="a reduced scan", remedy="explain it first"
            )
        return found[0]

    subject = Subject(
        clean,
        settings.attribution_method,
        tuple(classes),
        partial(scan_store.attribution, label),
        partial(matrix, label),
        partial(matrix, reference.result_label),
        lambda name: scan_store.units(reference.result_label)[name].info,
    )
    perturbations = metric.perturbations
    drops = _output_drops(clean, store, perturbations) if perturbations else _no_drops
    scores = metric.scores(subject, drops)
    record = {
        "method": settings.attribution_method.name,
        "parameters": settings.recipe,
        "direction": metric.direction,
        "unit": metric.unit,
        "recipe": recipe(metric),
        "scores": {name: _finite(asdict(score)) for name, score in scores.items()},
    }
    name = score_identity(scan_store, settings, choice, classes)
    Evaluations(store, scan_id).write_scores(label, choice.label, name, record)
    return len(scores)


def _no_drops(n: int) -> OutputDrops:
    return np.empty((0, 0))


def _finite(value: Any) -> Any:
    """Return a value for JSON, which has no NaN: None in its place."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True)
class BenchmarkStages:
    """The stages of a scan of a benchmark, as functions or as tasks that wrap them.

    Parameters
    ----------
    segment, explain_scan : callable
        As those of `agg2exp_core.pipeline.explain`.
    perturb, evaluate : callable
        As those here.
    """

    segment: Callable[[ScanJob, ExplainSettings], Segmented] = segment
    explain_scan: Callable[[ScanJob, ExplainSettings], ScanOutcome] = explain_scan
    perturb: Callable[[str, ExplainSettings, MetricChoice], int] = perturb
    evaluate: Callable[[str, ExplainSettings, MetricChoice, ExplainSettings, list[str]], int] = evaluate


PLAIN_STAGES = BenchmarkStages()
"""The stages as they are."""


def check_methods(scans: Sequence[ScanJob], settings: BenchmarkSettings) -> None:
    """Refuse parameters that a method cannot use on one of the scans, before anything is computed.

    A scan that cannot be read is left for its turn; so is what depends on the classes that are found in it.

    Raises
    ------
    UsageError
        If there are some; it names the method and the scan.
    """
    methods = [each.attribution_method for each in settings.explained]
    for scan in scans:
        model = model_of(settings.judged[0])
        scan_store = store_of(settings.store).scan(scan.scan_id)
        try:
            if scan_store.content_hash() is None:
                shape = load_scan(scan.path, model, scan.scan_id, settings.accept).grid.shape
            else:
                shape = scan_store.grid_shape()
        except ScanError:
            continue
        tiling = Tiling(model.windows, shape)
        for method in methods:
            try:
                method.check(Geometry(tiling, model.n_channels, model.n_classes, model.n_classes))
            except UsageError as error:
                raise error.at(f"--set-method {method.name}.{error.where}, scan {scan.scan_id}") from None


def still_needed(
    scan_store: ScanStore, settings: BenchmarkSettings, classes: list[str]
) -> tuple[list[tuple[ExplainSettings, MetricChoice]], list[ExplainSettings]]:
    """Return the scores that the store lacks of a scan, and the methods whose attributions they need."""
    units = [(method, choice) for choice in settings.choices for method in settings.judged]
    missing = [(m, choice) for m, choice in units if not is_scored(scan_store, m, choice, classes)]
    needed = [method for method, _ in missing]
    if any(choice.metric.needs_exact_matrix for _, choice in missing):
        needed.append(settings.reference)
    return missing, [method for method in settings.explained if method in needed]


def benchmark_scan(
    scan: ScanJob, settings: BenchmarkSettings, stages: BenchmarkStages = PLAIN_STAGES
) -> ScanOutcome:
    """Make what is missing of one scan's scores: attributions, perturbed outputs, scores.

    Raises
    ------
    Agg2ExpError
        If the scan cannot be used, or a method or metric on it: then once the others are done and kept.
    """
    started = time.monotonic()
    first = settings.judged[0]
    segmented = stages.segment(scan, first)
    model, scan_store = model_of(first), store_of(first.store).scan(scan.scan_id)
    wanted = [model.class_names[c] for c in choose_classes(model, first.classes)]
    classes = [name for name in wanted if name in segmented["present"]]
    missing, needed = still_needed(scan_store, settings, classes)
    refused: dict[str, Agg2ExpError] = {}
    for method in needed:
        with _noted(refused, method.result_label):
            stages.explain_scan(scan, method.model_copy(update={"restore_voxels": True}))
    for choice in settings.choices:
        judged = [m for m, other in missing if other == choice and m.result_label not in refused]
        if choice.metric.needs_exact_matrix and settings.reference.result_label in refused:
            judged = []
        if judged and choice.metric.perturbations and choice.params.get("precision") is None:
            with _noted(refused, choice.label):
                stages.perturb(scan.scan_id, first, choice)
        for method in judged if choice.label not in refused else []:
            with _noted(refused, f"{choice.label} of {method.result_label}"):
                stages.evaluate(scan.scan_id, method, choice, settings.reference, classes)
    if refused:
        raise _all_refused(refused)
    return ScanOutcome(
        scan_id=scan.scan_id,
        status="done",
        reason=sentence(scan_store.remarks()),
        n_classes=len(classes),
        n_computed=len(missing),
        n_kept=len(settings.choices) * len(settings.judged) - len(missing),
        seconds=time.monotonic() - started,
    )


@contextmanager
def _noted(refused: dict[str, Agg2ExpError], name: str) -> Iterator[None]:
    """Note what a method or metric refuses, and go on."""
    try:
        yield
    except Agg2ExpError as error:
        refused[name] = error


def _all_refused(refused: dict[str, Agg2ExpError]) -> Agg2ExpError:
    """Return one error for all that was refused; each names its method or metric."""
    (name, first), *others = refused.items()
    beside = "".join(f"; {other}: {error.where}: {error.got}" for other, error in others)
    return type(first)(
        name, got=f"{name}: {first.where}: {first.got}{beside}", allowed=first.allowed, remedy=first.remedy
    )


def register_all(store: Store, settings: BenchmarkSettings) -> None:
    """Write down which methods the store will hold, before anything runs.

    Raises
    ------
    StoreError
        If it holds another model, or other parameters under a label.
    """
    for method in settings.explained:
        register(store, model_of(method), method)


def benchmark_cohort(
    scans: Sequence[ScanJob], settings: BenchmarkSettings, rejected: Sequence[Rejected] = ()
) -> RunSummary:
    """Benchmark methods on scans, then write the tables; one that fails is recorded, and the others go on.

    Parameters
    ----------
    scans : sequence of ScanJob
        The scans.
    settings : BenchmarkSettings
        Methods and metrics.
    rejected : sequence of Rejected
        Scans that were found unusable before: they are recorded with the others.
    """
    store = store_of(settings.store)
    check_methods(scans, settings)
    register_all(store, settings)
    outcomes = record_rejected(store, rejected)
    outcomes += run_each(scans, store, "benchmark", lambda scan: benchmark_scan(scan, settings))
    tabulate(settings.store)
    return RunSummary(settings.store, "benchmark", outcomes, n_cohort=0)
