"""Gradient methods: vanilla gradient, SmoothGrad, integrated gradients (Eq. 3 to 5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from agg2exp_core.attribution.aggregation import parse_aggregation
from agg2exp_core.attribution.baselines import baseline_image, parse_baseline
from agg2exp_core.attribution.engine import Problem
from agg2exp_core.attribution.method import Explained, Geometry, Passes
from agg2exp_core.attribution.noise import standard_normal
from agg2exp_core.attribution.ranges import at_least, one_of


def _path_integral(
    problem: Problem, classes: Sequence[int], points: Iterator[tuple[torch.Tensor, float]], n_points: int
) -> torch.Tensor:
    """Weighted sum of the gradients at `points`, each a scan and its weight: ``[K, C, X, Y, Z]``."""
    shape = (len(classes), problem.image.shape[0], *problem.tiling.padded_shape)
    total = problem.image.new_zeros(shape)
    n_batches = n_points * problem.n_batches
    done = 0

    def on_batch() -> None:
        nonlocal done
        done += 1
        problem.progress(done, n_batches)

    for image, weight in points:
        problem.add_gradients(image, classes, total, scale=weight, on_batch=on_batch)
    return problem.tiling.crop(total)


def _gradient_passes(geometry: Geometry, aggregation: str) -> Passes:
    """Return the passes of a gradient of all classes, and of the logits where those choose the mask."""
    n = geometry.n_windows
    return Passes(n if parse_aggregation(aggregation).linear else 2 * n, n * geometry.n_explained)


@dataclass(frozen=True)
class VanillaGradient:
    """The gradient of the aggregated output (Eq. 3).

    Parameters
    ----------
    aggregation : str
        ``sum``, ``mean``, ``probability``, ``median`` or ``roi`` (Eq. 2).
    """

    name: ClassVar[str] = "vanilla_gradient"
    random: ClassVar[bool] = False
    aggregation: str = "sum"

    def explain(self, problem: Problem, classes: Sequence[int]) -> Iterator[Explained]:
        """Yield the attribution of each class."""
        total = _path_integral(problem, classes, iter([(problem.image, 1.0)]), 1)
        yield from ((c, values, {}) for c, values in zip(classes, total, strict=True))

    def passes(self, geometry: Geometry) -> Passes:
        """Return the window passes of a scan, at most."""
        return _gradient_passes(geometry, self.aggregation)


@dataclass(frozen=True)
class SmoothGrad:
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

    def explain(self, problem: Problem, classes: Sequence[int]) -> Iterator[Explained]:
        """Yield the attribution of each class."""
        total = _path_integral(problem, classes, self._samples(problem), self.n_samples)
        yield from ((c, values, {}) for c, values in zip(classes, total, strict=True))

    def passes(self, geometry: Geometry) -> Passes:
        """Return the window passes of a scan, at most."""
        return _gradient_passes(geometry, self.aggregation).times(self.n_samples)

    def _samples(self, problem: Problem) -> Iterator[tuple[torch.Tensor, float]]:
        image = problem.image
        deviation = self.sigma * (image.max() - image.min())
        for sample in range(self.n_samples):
            noise = torch.from_numpy(standard_normal(image.shape, *problem.noise_address, sample))
            yield image + deviation * noise.to(image), 1 / self.n_samples


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
class IntegratedGradients:
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

    def explain(self, problem: Problem, classes: Sequence[int]) -> Iterator[Explained]:
        """Yield the attribution of each class, with its completeness residual."""
        start = baseline_image(self.baseline, problem.image, problem.model)
        way = problem.image - start
        nodes, weights = QUADRATURES[self.quadrature](self.n_steps)
        points = ((start + float(a) * way, float(w)) for a, w in zip(nodes, weights, strict=True))
        total = _path_integral(problem, classes, points, self.n_steps)
        rise = problem.outputs(problem.image, classes) - problem.outputs(start, classes)
        for c, gradient, wanted in zip(classes, total, rise.tolist(), strict=True):
            values = gradient * way
            missing = float(values.double().sum()) - wanted
            residual = abs(missing / wanted) if wanted else None
            yield c, values, {"output_difference": wanted, "completeness_residual": residual}

    def passes(self, geometry: Geometry) -> Passes:
        """Return the window passes of a scan, at most: the path's, and those of its two ends."""
        at_a_point = _gradient_passes(geometry, self.aggregation)
        return at_a_point.times(self.n_steps).plus(Passes(2 * at_a_point.forward))
