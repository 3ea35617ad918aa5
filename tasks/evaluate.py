"""Stages of a benchmark: perturb a scan once for all methods, and score one method by one metric."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from prefect import task
from prefect.runtime import task_run

from agg2exp_core.attribution import Execution
from agg2exp_core.errors import StoreError
from agg2exp_core.metrics import Clean, Perturbations, Subject, recipe
from agg2exp_core.store import ScanStore, Store, identity
from agg2exp_core.store.evaluations import Evaluations
from tasks.choices import MetricChoice
from tasks.resources import model_of, store_of
from tasks.retrying import RETRYING
from tasks.settings import ExplainSettings

SCORES_VERSION = 4
"""Raised when the meaning of a score changes, so that old ones are made anew."""


def score_identity(
    there: ScanStore, settings: ExplainSettings, choice: MetricChoice, classes: list[str]
) -> str:
    """Return the identity of the scores of one method by one metric in one scan."""
    return identity(
        version=SCORES_VERSION,
        scan=there.content_hash(),
        scan_id=there.scan_id,
        model=model_of(settings).fingerprint,
        method=settings.recipe,
        metric=recipe(choice.metric),
        seed=settings.seed,
        classes=sorted(classes),
    )


def is_scored(there: ScanStore, settings: ExplainSettings, choice: MetricChoice, classes: list[str]) -> bool:
    """Say whether the store holds these scores."""
    name = score_identity(there, settings, choice, classes)
    found = Evaluations(store_of(settings.store), there.scan_id)
    return found.scores(settings.result_label, choice.label, name) is not None


def _clean(there: ScanStore, settings: ExplainSettings) -> Clean:
    prediction = there.prediction()
    if prediction is None:
        raise StoreError(
            there.scan_id, got="no prediction", allowed="a segmented scan", remedy="explain the scan first"
        )
    execution = Execution(window_batch=settings.window_batch)
    return Clean(model_of(settings), there.image(), prediction, settings.seed, execution)


def _falls(clean: Clean, store: Store, perturbations: Perturbations) -> Callable[[int], NDArray[np.float64]]:
    """Return what gives the first n rows of falls, stored or made."""
    name = identity(
        scan=clean.scan.content_hash,
        scan_id=clean.scan.scan_id,
        model=clean.model.fingerprint,
        perturbations=dict(perturbations.recipe),
        seed=clean.seed,
    )
    most = perturbations.most(clean.model.n_classes)
    evaluations, make = Evaluations(store, clean.scan.scan_id), partial(perturbations.falls, clean)
    return lambda n: evaluations.falls(name, min(n, most), make)


@task(name="perturb", task_run_name="perturb {scan_id} for {choice.label}", **RETRYING)
def perturb(scan_id: str, settings: ExplainSettings, choice: MetricChoice) -> int:
    """Make the perturbed outputs that a metric needs, for all methods; return their number."""
    perturbations = choice.metric.perturbations
    if perturbations is None:
        return 0
    store = store_of(settings.store)
    clean = _clean(store.scan(scan_id), settings)
    return len(_falls(clean, store, perturbations)(perturbations.most(clean.model.n_classes)))


def _run_name() -> str:
    given = task_run.parameters
    return f"{given['choice'].label} of {given['settings'].result_label} {given['scan_id']}"


@task(name="evaluate", task_run_name=_run_name, **RETRYING)
def evaluate(
    scan_id: str,
    settings: ExplainSettings,
    choice: MetricChoice,
    yardstick: ExplainSettings,
    classes: list[str],
) -> int:
    """Score one method by one metric in one scan; return the number of classes."""
    store, metric = store_of(settings.store), choice.metric
    there, label = store.scan(scan_id), settings.result_label
    clean = _clean(there, settings)

    def matrix(of_label: str) -> xr.Dataset:
        found = there.importance(of_label)
        if found is None:
            raise StoreError(
                scan_id, got=f"no matrix of {of_label}", allowed="a reduced scan", remedy="explain it first"
            )
        return found[0]

    subject = Subject(
        clean,
        settings.attribution_method,
        tuple(classes),
        partial(there.attribution, label),
        partial(matrix, label),
        partial(matrix, yardstick.result_label),
        lambda name: there.units(yardstick.result_label)[name].info,
    )
    perturbations = metric.perturbations
    falls = _falls(clean, store, perturbations) if perturbations else _no_falls
    scores = metric.scores(subject, falls)
    record = {
        "method": settings.attribution_method.name,
        "parameters": settings.recipe,
        "direction": metric.direction,
        "unit": metric.unit,
        "recipe": recipe(metric),
        "scores": {name: _finite(asdict(score)) for name, score in scores.items()},
    }
    name = score_identity(there, settings, choice, classes)
    Evaluations(store, scan_id).write_scores(label, choice.label, name, record)
    return len(scores)


def _no_falls(n: int) -> NDArray[np.float64]:
    return np.empty((0, 0))


def _finite(value: Any) -> Any:
    """Return a value for JSON, which has no NaN: None in its place."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
