"""Sensitivity (Eq. 9): how far an attribution moves when the scan moves a little."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from agg2exp_core.attribution import Geometry, Method, Passes, attribute_planes
from agg2exp_core.metrics.metric import EvaluatedScan, Metric, OutputDrops, Score, Subject
from agg2exp_core.random import generator
from agg2exp_core.types import Scan


class Sensitivity(Metric):
    """Mean of ``||e(x) - e(x')||_2 / ||e(x)||_2`` over noisy copies x' of the scan (Eq. 9).

    Notes
    -----
    Attributions are divided by their largest absolute value first, each by its own. Masks stay the
    clean scan's. A copy keeps the scan's id, so that a random method draws the same numbers for both.
    """

    name = "sensitivity"
    direction = "lower"
    bounds = (0.0, math.inf)
    unit = "relative change"

    n_perturbations: Annotated[int, Field(ge=1)] = 3
    """Noisy copies, at most."""
    noise: Literal["uniform", "gaussian"] = "uniform"
    """``uniform`` in [-radius, radius], as the published figures, or ``gaussian`` with radius as its standard
    deviation."""
    radius: Annotated[float, Field(ge=0)] = 0.1
    """In units of the preprocessed scan."""
    precision: float | None = None
    """Standard error of the mean at which no more copies are taken; there are two at least."""

    def scores(self, subject: Subject, output_drops: Callable[[int], OutputDrops]) -> Mapping[str, Score]:
        """Return the score of each class of a subject."""
        changes: list[dict[str, float]] = []
        for n in range(self.n_perturbations):
            changes.append(self._changes(subject, n))
            scores = {name: _mean([of_copy[name] for of_copy in changes]) for name in subject.classes}
            if all(self._precise(score) for score in scores.values()):
                break
        return scores

    def _precise(self, score: Score) -> bool:
        error = score.standard_error
        return self.precision is not None and error is not None and error <= self.precision

    def _changes(self, subject: Subject, index: int) -> dict[str, float]:
        """Return the relative change of each class's attribution on one noisy copy."""
        clean = subject.clean
        moments: dict[str, _Moments] = {}
        for planes in attribute_planes(
            clean.model,
            self.noisy(clean, index),
            subject.method,
            subject.classes,
            clean.prediction,
            clean.seed,
            execution=clean.execution,
        ):
            for name, values in planes.by_class():
                if planes.start == 0:
                    moments[name] = _Moments()
                before = np.asarray(subject.attribution(name)[..., planes.start : planes.stop, :, :])
                scale = 1 if subject.scale is None else subject.scale[planes.start : planes.stop]
                moments[name].add(before * scale, values * scale)
        return {name: moments[name].relative_change for name in subject.classes}

    def noisy(self, clean: EvaluatedScan, index: int) -> Scan:
        """Return a noisy copy of a scan under its own id."""
        rng, shape = generator(clean.seed, clean.scan.scan_id, "sensitivity", index), clean.scan.image.shape
        noise = rng.uniform(-1, 1, shape) if self.noise == "uniform" else rng.standard_normal(shape)
        image = clean.scan.image + torch.from_numpy(self.radius * noise).to(clean.scan.image)
        return replace(clean.scan, image=image)

    def passes(self, geometry: Geometry, method: Method) -> Passes:
        """Return the passes of explaining all copies, at most."""
        return (method.passes_of_scan(geometry) or Passes(0)).times(self.n_perturbations)


def _mean(changes: list[float]) -> Score:
    n = len(changes)
    error = float(np.std(changes, ddof=1) / math.sqrt(n)) if n > 1 else None
    return Score(float(np.mean(changes)), error, {"n_perturbations": n})


class _Moments:
    """Sums over two attributions that come in parts, from which their normalised distance follows."""

    def __init__(self) -> None:
        self.squares, self.product, self.peaks = np.zeros(2), 0.0, np.zeros(2)

    def add(self, before: NDArray[Any], after: NDArray[Any]) -> None:
        """Take a part of both."""
        parts = [before.astype(np.float64), after.astype(np.float64)]
        self.squares += [float(np.vdot(part, part)) for part in parts]
        self.product += float(np.vdot(*parts))
        self.peaks = np.maximum(self.peaks, [np.abs(part).max(initial=0.0) for part in parts])

    @property
    def relative_change(self) -> float:
        """``||e - e'|| / ||e||`` of both divided by their peaks; NaN where one is zero throughout."""
        if not self.peaks.all():
            return math.nan
        before, after = self.squares / self.peaks**2
        distance = before + after - 2 * self.product / self.peaks.prod()
        return math.sqrt(max(distance, 0.0) / before)
