"""Cost of Table 1 against the published procedure: ``python -m benchmarks.metrics [--quick]``."""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
import xarray as xr

from agg2exp_core import attribute, local_importance
from agg2exp_core.attribution import METHODS, Execution, make_method
from agg2exp_core.attribution.method import Geometry, Method, Passes
from agg2exp_core.execution import Tally, counted
from agg2exp_core.metrics import (
    DEFAULT_METRICS,
    REFERENCE_METHOD,
    EvaluatedScan,
    Metric,
    Subject,
    make_metric,
)
from agg2exp_core.metrics.cost import a100_hours, in_procedure, our_passes, procedure_passes
from agg2exp_core.types import Grid, Scan
from agg2exp_core.windows import Tiling, WindowSettings
from benchmarks.attribution.case import Case, make_case
from benchmarks.timing import Row, Spread, once, print_table

REFERENCE = REFERENCE_METHOD[0]
"""With its default budget; the flow explains by a larger one besides."""
PAPER_SCANS, PAPER_CLASSES = 32, 17
AT_LEAST = 20


@dataclass(frozen=True)
class Study:
    """What is benchmarked.

    Parameters
    ----------
    case : Case
        Scan and model.
    params : mapping of str to mapping
        Parameters of methods and metrics by name; the others have their defaults.
    """

    case: Case
    params: Mapping[str, Mapping[str, Any]]

    def method(self, name: str) -> Method:
        """Return a method with the study's parameters."""
        return make_method(name, self.params.get(name, {}))

    def metric(self, name: str) -> Metric:
        """Return a metric with the study's parameters."""
        return make_metric(name, self.params.get(name, {}))

    @property
    def clean(self) -> EvaluatedScan:
        """The scan, its model and its label map."""
        image = self.case.image
        x, y, z = image.shape[1:]
        scan = Scan("phantom", image, np.eye(4), Grid((x, y, z), np.eye(4)), "phantom")
        return EvaluatedScan(self.case.model, scan, self.case.prediction, 0, Execution())


@contextmanager
def measured(clean: EvaluatedScan) -> Iterator[tuple[Tally, list[float]]]:
    """Count window passes and seconds of what happens inside."""
    seconds: list[float] = []
    started = time.perf_counter()
    with counted(clean.model) as (_, tally):
        yield tally, seconds
    seconds.append(time.perf_counter() - started)


@dataclass(frozen=True)
class Found:
    """Attributions, matrices and what is said about them, by method: what the flow keeps in its store."""

    attributions: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    matrices: dict[str, xr.Dataset] = field(default_factory=dict)
    infos: dict[str, dict[str, Any]] = field(default_factory=dict)

    def explain(self, clean: EvaluatedScan, method: Method) -> None:
        """Attribute all classes by a method, unless that was done."""
        if method.name in self.matrices:
            return
        items = list(attribute(clean.model, clean.scan, method, prediction=clean.prediction))
        self.attributions[method.name] = {item.class_name: item.values for item in items}
        self.matrices[method.name] = local_importance(items, clean.prediction)
        self.infos[method.name] = {item.class_name: item.info for item in items}


def run(clean: EvaluatedScan, methods: Sequence[Method], metrics: Sequence[Metric], found: Found) -> None:
    """Attribute all classes by each method, and judge each by each metric, as the flow does."""
    shared = {
        m.name: p.output_drops(clean, 0, p.most(17)) for m in metrics if (p := m.perturbations) is not None
    }
    for method in methods:
        found.explain(clean, method)
        attributions = found.attributions[method.name]
        subject = Subject(
            clean,
            method,
            tuple(attributions),
            attributions.__getitem__,
            partial(found.matrices.__getitem__, method.name),
            partial(found.matrices.__getitem__, REFERENCE),
            lambda name: found.infos[REFERENCE][name],
        )
        for metric in metrics:
            metric.scores(subject, lambda n, name=metric.name: shared[name][:n])


def procedure_seconds(case: Case, passes: Passes, n_repeats: int) -> Spread:
    """Return what the procedure's passes take, from a timed part: one gradient and one perturbed scan.

    As its code does it: a sliding window over the whole scan, then a backward pass of one class.
    """
    n_windows, image = len(case.tiling.windows), case.image[None]
    estimates = []
    for _ in range(n_repeats):
        started = time.perf_counter()
        with torch.no_grad():
            case.class_output(case.present[-1], image)
        forward = time.perf_counter() - started
        leaf = image.clone().requires_grad_()
        started = time.perf_counter()
        case.class_output(case.present[-1], leaf).sum().backward()
        backward = max(time.perf_counter() - started - forward, 0.0)
        estimates.append((passes.forward * forward + passes.backward * backward) / n_windows)
    return Spread(tuple(estimates))


def rows(study: Study, n_repeats: int) -> list[Row]:
    """Return the table of one scan."""
    case, clean = study.case, study.clean
    everything = [study.method(name) for name in METHODS]
    all_metrics = [study.metric(name) for name in DEFAULT_METRICS]
    theirs, asked = in_procedure(everything, all_metrics)
    exact = [method for method in everything if method not in theirs]
    of_regions = [study.metric(name) for name in ("roi_faithfulness", "roi_distance")]
    geometry = Geometry(case.tiling, 1, 17, len(case.present))
    procedure = procedure_passes(geometry, theirs, asked)
    planned = our_passes(geometry, theirs, asked)

    found = Found()
    with measured(clean) as (ours, seconds):
        run(clean, theirs, asked, found)
    with measured(clean) as (rest, rest_seconds):
        run(clean, exact, asked, found)
        run(clean, everything, of_regions, found)
    their_seconds = procedure_seconds(case, procedure, n_repeats)
    total = ours.forward + ours.backward
    faster = Spread(tuple(value / seconds[0] for value in their_seconds.values))
    return [
        once("classes", len(case.present)),
        once("windows", geometry.n_windows),
        once("five methods, four metrics: forward passes", ours.forward, at_most=planned.forward),
        once("five methods, four metrics: backward passes", ours.backward, at_most=planned.backward),
        once("published procedure: forward passes", procedure.forward),
        once("published procedure: backward passes", procedure.backward),
        once("times fewer passes", _total(procedure) / total, at_least=AT_LEAST),
        once("five methods, four metrics: seconds", seconds[0]),
        Row("published procedure: seconds, from one gradient and one perturbed scan", their_seconds),
        Row("times faster", faster, at_least=1),
        once("seven methods, six metrics: forward passes", ours.forward + rest.forward),
        once("seven methods, six metrics: backward passes", ours.backward + rest.backward),
        once("seven methods, six metrics: seconds", seconds[0] + rest_seconds[0]),
    ]


def paper_rows(labelled_at_mm: float) -> list[Row]:
    """Return the same on paper: 32 scans of 300^3 voxels, windows of 96^3, cubes of 128^3, the defaults.

    A window is passed backward for the classes that it holds: as many as windows of a phantom at this
    spacing do.
    """
    tiling = Tiling(WindowSettings(shape=(96, 96, 96), overlap=0.25), (300, 300, 300))
    geometry = Geometry(tiling, 1, PAPER_CLASSES, PAPER_CLASSES)
    methods, metrics = in_procedure(list(map(make_method, METHODS)), list(map(make_metric, DEFAULT_METRICS)))
    phantom = make_case(spacing_mm=labelled_at_mm, window_side=round(96 * 1.5 / labelled_at_mm))
    share = float(np.mean([len(held) / PAPER_CLASSES for held in phantom.classes_in_windows]))
    planned = our_passes(geometry, methods, metrics).times(PAPER_SCANS)
    ours = Passes(planned.forward, round(planned.backward * share))
    procedure = procedure_passes(geometry, methods, metrics).times(PAPER_SCANS)
    hours, our_hours = (a100_hours(passes, geometry.n_windows) for passes in (procedure, ours))
    return [
        once("paper's 32 scans: forward passes", ours.forward),
        once("paper's 32 scans: backward passes, of classes that a window holds", ours.backward),
        once("paper's 32 scans: the same if every window held every class", planned.backward),
        once("paper's 32 scans: passes of the published procedure", _total(procedure)),
        once("paper's 32 scans: times fewer", _total(procedure) / _total(ours), at_least=AT_LEAST),
        once("paper's 32 scans: A100 hours of the procedure's passes, from its published seconds", hours),
        once("paper's 32 scans: A100 hours of our passes, from the same seconds a pass", our_hours),
    ]


def _total(passes: Passes) -> int:
    return passes.forward + passes.backward


def full() -> list[Row]:
    """Return the rows for most of a phantom of 6 mm: all 17 classes in 8 windows, and 8 cubes."""
    cubes = {"cube_side": 32}
    case = make_case(spacing_mm=6.0, window_side=32).crop(slice(3, 59), slice(0, 45), slice(1, 57))
    study = Study(case, {"kernelshap_cubes": cubes, "shapley_cubes": cubes})
    return [*rows(study, n_repeats=5), *paper_rows(1.5)]


def quick() -> list[Row]:
    """Return the same in seconds, for a part with few samples."""
    case = make_case(spacing_mm=8.0, window_side=16).crop(slice(12, 36), slice(8, 24), slice(12, 28))
    params = {
        "smoothgrad": {"n_samples": 2},
        "integrated_gradients": {"n_steps": 2},
        "kernelshap_cubes": {"cube_side": 12, "n_samples": 40},
        "kernelshap_semantic": {"n_samples": 72},
        "shapley_cubes": {"cube_side": 12},
        "shapley_semantic": {"n_samples": 72},
        "faithfulness": {"n_subsets": 10},
    }
    return [*rows(Study(case, params), n_repeats=1), *paper_rows(6.0)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.metrics", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small case, to see that it runs")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    print_table("Cost of the benchmark for one scan", quick() if arguments.quick else full())


if __name__ == "__main__":
    main()
