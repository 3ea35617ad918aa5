"""Gradient methods: vanilla gradient, SmoothGrad, integrated gradients (Eq. 3 to 5)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field

from agg2exp_core.attribution.baselines import Baseline, baseline_image
from agg2exp_core.attribution.masks import parse_aggregation
from agg2exp_core.attribution.method import FinishedPlanes, Geometry, Method, Passes
from agg2exp_core.attribution.problem import Point, Problem
from agg2exp_core.execution import to_device
from agg2exp_core.random import normal_planes


class GradientMethod(Method):
    """Gradients at some points, whose planes leave while later ones are computed."""

    @property
    def n_points(self) -> int:
        """How many there are."""
        return 1

    def passes(self, geometry: Geometry) -> Passes:
        """Return the window passes of a scan, at most."""
        return self._at_a_point(geometry).times(self.n_points)

    def _at_a_point(self, geometry: Geometry) -> Passes:
        """Return the passes of a gradient of all classes, and of the logits where those choose the mask."""
        n = geometry.n_windows
        return Passes(n if parse_aggregation(self.aggregation).linear else 2 * n, n * geometry.n_explained)


class SummedGradient(GradientMethod):
    """A weighted sum of gradients."""

    @abstractmethod
    def points(self, problem: Problem) -> Sequence[Point]:
        """Return the scans at which gradients are taken, each with its weight."""

    def planes(self, problem: Problem, classes: Sequence[int]) -> Iterator[FinishedPlanes]:
        """Yield the attributions of all classes in planes."""
        for planes, values in problem.sweep(classes, self.points(problem), progress=problem.progress):
            yield planes, values, [{} for _ in classes]


class VanillaGradient(SummedGradient):
    """The gradient of the aggregated output (Eq. 3)."""

    name = "vanilla_gradient"
    random = False

    def points(self, problem: Problem) -> Sequence[Point]:
        """Return the clean scan."""
        return [Point(problem.read)]


class SmoothGrad(SummedGradient):
    """Mean of the gradients at noisy copies of the scan (Eq. 4)."""

    name = "smoothgrad"

    n_samples: Annotated[int, Field(ge=1)] = 20
    """Noisy copies."""
    sigma: Annotated[float, Field(ge=0)] = 0.1
    """Standard deviation of the noise as a fraction of ``max x - min x``."""

    @property
    def n_points(self) -> int:
        """The noisy copies."""
        return self.n_samples

    def points(self, problem: Problem) -> Sequence[Point]:
        """Return the noisy copies; the noise of each is a function of its address and the voxel."""
        image = problem.image
        deviation = self.sigma * (image.max() - image.min())

        def noisy(sample: int, planes: slice) -> torch.Tensor:
            noise = normal_planes(image.shape, planes, *problem.noise_address, sample)
            return image[:, planes] + deviation * to_device(noise, image)

        return [Point(partial(noisy, sample), 1 / self.n_samples) for sample in range(self.n_samples)]


def _right(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(1, n + 1) / n, np.full(n, 1 / n)


def _midpoint(n: int) -> tuple[np.ndarray, np.ndarray]:
    return (np.arange(n) + 0.5) / n, np.full(n, 1 / n)


def _gauss_legendre(n: int) -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return (nodes + 1) / 2, weights / 2


QUADRATURES: dict[str, Callable[[int], tuple[np.ndarray, np.ndarray]]] = {
    "right": _right,
    "midpoint": _midpoint,
    "gauss_legendre": _gauss_legendre,
}
"""Nodes and weights on [0, 1] by name; ``right`` is the sum that the paper prints."""


class IntegratedGradients(GradientMethod):
    """Gradients along the straight path from a baseline, times the way (Eq. 5).

    Notes
    -----
    Completeness asks that the attribution of a class sums to ``f_hat_c(x) - f_hat_c(x')``. Every
    result says by how much it misses, as a share of that difference.
    """

    name = "integrated_gradients"
    random = False

    n_steps: Annotated[int, Field(ge=1)] = 20
    """Points on the path."""
    quadrature: Literal["right", "midpoint", "gauss_legendre"] = "right"
    """Where they lie and what they weigh: ``right`` is the paper's sum."""
    baseline: Baseline = "zero"
    """Start of the path: ``zero``, ``mean``, ``blur``, ``air``, or a number."""

    @property
    def n_points(self) -> int:
        """The steps."""
        return self.n_steps

    def planes(self, problem: Problem, classes: Sequence[int]) -> Iterator[FinishedPlanes]:
        """Yield the attributions of all classes in planes, with their completeness residuals."""
        image, start = problem.image, baseline_image(self.baseline, problem.image, problem.model)
        rise = (problem.outputs(image, classes) - problem.outputs(start, classes)).tolist()

        def way(planes: slice) -> torch.Tensor:
            return image[:, planes] - start[:, planes]

        def on_path(share: float, planes: slice) -> torch.Tensor:
            return start[:, planes] + share * way(planes)

        nodes, weights = QUADRATURES[self.quadrature](self.n_steps)
        points = [Point(partial(on_path, float(a)), float(w)) for a, w in zip(nodes, weights, strict=True)]
        reached = torch.zeros(len(classes), dtype=torch.float64, device=image.device)
        for planes, gradients in problem.sweep(classes, points, progress=problem.progress):
            values = gradients * way(planes)
            reached += values.double().sum(dim=(1, 2, 3, 4))
            yield planes, values, [_completeness(*pair) for pair in zip(rise, reached.tolist(), strict=True)]

    def passes(self, geometry: Geometry) -> Passes:
        """Return the window passes of a scan, at most: the path's, and those of its two ends."""
        return super().passes(geometry).plus(Passes(2 * self._at_a_point(geometry).forward))


def _completeness(wanted: float, reached: float) -> dict[str, Any]:
    residual = abs((reached - wanted) / wanted) if wanted else None
    return {"output_difference": wanted, "completeness_residual": residual}
