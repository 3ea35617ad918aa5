"""Complexity (Eq. 10): how much of the scan an attribution lights up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from agg2exp_core.attribution.method import Geometry, Method, Passes
from agg2exp_core.attribution.ranges import at_least
from agg2exp_core.metrics.metric import Falls, Score, Subject


@dataclass(frozen=True)
class Complexity:
    """Share of voxels whose absolute attribution exceeds a share of the largest (Eq. 10).

    Parameters
    ----------
    threshold : float
        Of the largest absolute value.
    """

    name: ClassVar[str] = "complexity"
    direction: ClassVar[Literal["higher", "lower"]] = "lower"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    unit: ClassVar[str] = "share of voxels"
    threshold: float = 0.1

    def __post_init__(self) -> None:
        at_least("threshold", self.threshold, 0)

    @property
    def perturbations(self) -> None:
        """None: the attribution alone says it."""
        return None

    def scores(self, subject: Subject, falls: Callable[[int], Falls]) -> Mapping[str, Score]:
        """Return the score of each class of a subject."""
        return {name: self._score(subject.on_voxels(name)) for name in subject.classes}

    def _score(self, values: np.ndarray) -> Score:
        size = np.abs(values)
        peak = float(size.max(initial=0.0))
        return Score(float((size > self.threshold * peak).mean()) if peak else float("nan"))

    def passes(self, geometry: Geometry, method: Method) -> Passes:
        """Return none."""
        return Passes(0)
