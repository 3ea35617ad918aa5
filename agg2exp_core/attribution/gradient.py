"""Gradient methods: vanilla gradient, SmoothGrad, integrated gradients (Eq. 3 to 5)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch

from agg2exp_core.attribution.aggregation import parse_aggregation
from agg2exp_core.attribution.baselines import baseline_image, parse_baseline
from agg2exp_core.attribution.engine import Point, Problem
from agg2exp_core.attribution.method import Explained, FinishedPlanes, Geometry, Passes
from agg2exp_core.attribution.noise import normal_planes
from agg2exp_core.attribution.ranges import at_least, one_of


class GradientMethod(ABC):
    """What the gradient methods have in common: their planes leave while later ones are computed."""

    @abstractmethod
    def planes(self, problem: Problem, classes: Sequence[int]) -> Iterator[FinishedPlanes]:
        """Yield the attributions of all classes in planes."""

    def explain(self, problem: Problem, classes: Sequence[int]) -> Iterator[Explained]:
        """Yield the attribution of each class, whole."""
        total = problem.image.new_empty((len(classes), *problem.image.shape))
        infos: Sequence[dict[str, Any]] = ()
        for planes, values, so_far in self.planes(problem, classes):
            total[:, :, planes] = values
            infos = so_far
        yield from zip(classes, total, infos, strict=True)


def _sums(
    problem: Problem, classes: Sequence[int], points: Sequence[Point]
) -> Iterator[tuple[slice, torch.Tensor]]:
    return problem.sweep(classes, points, progress=problem.progress)


def _gradient_passes(geometry: Geometry, aggregation: str) -> Passes:
    """Return the passes of a gradient of all classes, and of the logits where those choose the mask."""
    n = geometry.n_windows
    return Passes(n if parse_aggregation(aggregation).linear else 2 * n, n * geometry.n_explained)


@dataclass(frozen=True)
class VanillaGradient(GradientMethod):
    """The gradient of the aggregated output (Eq. 3).

    Parameters
    ----------
    aggregation : str
        ``sum``, ``mean``, ``probability``, ``median`` or ``roi`` (Eq. 2).
    """

    name: ClassVar[str] = "vanilla_gradient"
    random: ClassVar[bool] = False
    aggregation: str = "sum"

    def planes(self, problem: Problem, classes: Sequence[int]) -> Iterator[FinishedPlanes]:
        """Yield the attributions of all classes in planes."""
        for planes, values in _sums(problem, classes, [Point(problem.read)]):
            yield planes, values, [{} for _ in classes]

    def passes(self, geometry: Geometry) -> Passes:
        """Return the window passes of a scan, at most."""
        return _gradient_passes(geometry, self.aggregation)


@dataclass(frozen=True)
class SmoothGrad(GradientMethod):
    """Mean of the gradients at noisy copies of the scan (Eq. 4).

    Parameters
    ----------
    n_samples : int
        Noisy copies.
    sigma : float
        Standard deviation of the noise as a fraction of ``max x - min x``.
    aggregation : str
        As for `VanillaGradient`.
    """

    name: ClassVar[str] = "smoothgrad"
    random: ClassVar[bool] = True
    n_samples: int = 20
    sigma: float = 0.1
    aggregation: str = "sum"

    def __post_init__(self) -> None:
        at_least("n_samples", self.n_samples, 1)
        at_least("sigma", self.sigma, 0)

    def planes(self, problem: Problem, classes: Sequence[int]) -> Iterator[FinishedPlanes]:
        """Yield the attributions of all classes in planes."""
        for planes, values in _sums(problem, classes, self._samples(problem)):
            yield planes, values, [{} for _ in classes]

    def passes(self, geometry: Geometry) -> Passes:
        """Return the window passes of a scan, at most."""
        return _gradient_passes(geometry, self.aggregation).times(self.n_samples)

    def _samples(self, problem: Problem) -> list[Point]:
        image = problem.image
        deviation = self.sigma * (image.max() - image.min())

        def noisy(sample: int, planes: slice) -> torch.Tensor:
            noise = normal_planes(image.shape, planes, *problem.noise_address, sample)
            return image[:, planes] + deviation * torch.from_numpy(noise).to(image)

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


@dataclass(frozen=True)
class IntegratedGradients(GradientMethod):
    """Gradients along the straight path from a baseline, times the way (Eq. 5).

    Parameters
    ----------
    n_steps : int
        Points on the path.
    quadrature : str
        ``right`` (the paper's sum), ``midpoint`` or ``gauss_legendre``.
    baseline : str
        Start of the path: ``zero``, ``mean``, ``blur``, ``air``, or a number.
    aggregation : str
        As for `VanillaGradient`.

    Notes
    -----
    Completeness asks that the attribution of a class sums to ``f_hat_c(x) - f_hat_c(x')``. Every
    result says by how much it misses, as a share of that difference.
    """

    name: ClassVar[str] = "integrated_gradients"
    random: ClassVar[bool] = False
    n_steps: int = 20
    quadrature: str = "right"
    baseline: str = "zero"
    aggregation: str = "sum"

    def __post_init__(self) -> None:
        at_least("n_steps", self.n_steps, 1)
        object.__setattr__(self, "baseline", parse_baseline(self.baseline))
        one_of("quadrature", self.quadrature, QUADRATURES)

    def planes(self, problem: Problem, classes: Sequence[int]) -> Iterator[FinishedPlanes]:
        """Yield the attributions of all classes in planes, with their completeness residuals."""
        image = problem.image
        start = baseline_image(self.baseline, image, problem.model)
        rise = (problem.outputs(image, classes) - problem.outputs(start, classes)).tolist()

        def way(planes: slice) -> torch.Tensor:
            return image[:, planes] - start[:, planes]

        def on_path(share: float, planes: slice) -> torch.Tensor:
            return start[:, planes] + share * way(planes)

        nodes, weights = QUADRATURES[self.quadrature](self.n_steps)
        points = [Point(partial(on_path, float(a)), float(w)) for a, w in zip(nodes, weights, strict=True)]
        reached = torch.zeros(len(classes), dtype=torch.float64, device=image.device)
        for planes, gradients in _sums(problem, classes, points):
            values = gradients * way(planes)
            reached += values.double().sum(dim=(1, 2, 3, 4))
            yield planes, values, [_completeness(*pair) for pair in zip(rise, reached.tolist(), strict=True)]

    def passes(self, geometry: Geometry) -> Passes:
        """Return the window passes of a scan, at most: the path's, and those of its two ends."""
        at_a_point = _gradient_passes(geometry, self.aggregation)
        return at_a_point.times(self.n_steps).plus(Passes(2 * at_a_point.forward))


def _completeness(wanted: float, reached: float) -> dict[str, Any]:
    residual = abs((reached - wanted) / wanted) if wanted else None
    return {"output_difference": wanted, "completeness_residual": residual}
