"""Window passes of a benchmark: ours, and those of the procedure that the paper published."""

from __future__ import annotations

from collections.abc import Sequence

from agg2exp_core.attribution import Geometry, Method, Passes
from agg2exp_core.metrics.complexity import Complexity
from agg2exp_core.metrics.efficiency import Efficiency
from agg2exp_core.metrics.faithfulness import Faithfulness
from agg2exp_core.metrics.metric import Metric
from agg2exp_core.metrics.sensitivity import Sensitivity

PAPER_SECONDS: dict[str, float] = {
    "kernelshap_cubes": 4278.0,
    "kernelshap_semantic": 857.0,
    "vanilla_gradient": 12.0,
    "integrated_gradients": 210.0,
    "smoothgrad": 209.0,
}
"""Seconds of an A100 for one scan and class that the paper's Table 1 gives (TotalSegmentator v2)."""


def our_passes(geometry: Geometry, methods: Sequence[Method], metrics: Sequence[Metric]) -> Passes:
    """Return the window passes of one scan, at most: attributions, metrics, shared perturbations."""
    total = shared_passes(geometry, metrics)
    for method in methods:
        total = total.plus(method.passes_of_scan(geometry) or Passes(0))
        for metric in metrics:
            total = total.plus(metric.passes(geometry, method))
    return total


def shared_passes(geometry: Geometry, metrics: Sequence[Metric]) -> Passes:
    """Return the forward passes of the perturbed scans, made once for all methods and classes, at most."""
    total = Passes(0)
    for metric in metrics:
        if (perturbations := metric.perturbations) is not None:
            n_scans = perturbations.most(geometry.n_classes) + 1  # the clean one
            n_scans += perturbations.recipe.get("aggregation") == "margin"  # its runner-up
            total = total.plus(Passes(n_scans * geometry.n_windows))
    return total


def in_procedure(methods: Sequence[Method], metrics: Sequence[Metric]) -> tuple[list[Method], list[Metric]]:
    """Return the methods and metrics that the published procedure has, too."""
    theirs = (Faithfulness, Sensitivity, Complexity, Efficiency)
    return [m for m in methods if m.name in PAPER_SECONDS], [m for m in metrics if isinstance(m, theirs)]


def procedure_passes(geometry: Geometry, methods: Sequence[Method], metrics: Sequence[Metric]) -> Passes:
    """Return the window passes of the published procedure for the same questions on one scan.

    Class by class and method by method: a forward pass of every window for each gradient and a
    backward pass of each; all windows for each sample of KernelSHAP; faithfulness masks the scan
    anew, and sensitivity explains its noisy copies anew. What the procedure has not (`in_procedure`)
    is left out; efficiency is timed along.
    """
    n = geometry.n_windows
    methods, metrics = in_procedure(methods, metrics)
    total = Passes(0)
    for method in methods:
        samples = int(getattr(method, "n_samples", getattr(method, "n_steps", 1)))
        backward = 0 if method.players else samples * n
        once = Passes(samples * n, backward)
        total = total.plus(once)
        for metric in metrics:
            if isinstance(metric, Faithfulness):
                total = total.plus(Passes((metric.n_subsets + 1) * n))
            elif isinstance(metric, Sensitivity):
                total = total.plus(once.times(metric.n_perturbations))
    return total.times(geometry.n_explained)


def a100_hours(passes: Passes, n_windows: int) -> float:
    """Return the A100 hours of window passes at the paper's geometry, from its published seconds.

    KernelSHAP of 1000 samples gives the seconds of a forward pass of all windows; SmoothGrad of 20
    samples less those, of a backward pass.

    Parameters
    ----------
    passes : Passes
        Of windows, of any number of scans.
    n_windows : int
        Windows of a scan.
    """
    forward = PAPER_SECONDS["kernelshap_cubes"] / 1000
    backward = PAPER_SECONDS["smoothgrad"] / 20 - forward
    return (passes.forward * forward + passes.backward * backward) / n_windows / 3600
