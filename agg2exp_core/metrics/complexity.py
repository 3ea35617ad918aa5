"""Complexity (Eq. 10): how much of the scan an attribution lights up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import numpy as np
from pydantic import Field

from agg2exp_core.metrics.metric import Metric, OutputDrops, Score, Subject


class Complexity(Metric):
    """Share of voxels whose absolute attribution exceeds a share of the largest (Eq. 10)."""

    name = "complexity"
    direction = "lower"
    bounds = (0.0, 1.0)
    unit = "share of voxels"

    threshold: Annotated[float, Field(ge=0)] = 0.1
    """Of the largest absolute value."""

    def scores(self, subject: Subject, output_drops: Callable[[int], OutputDrops]) -> Mapping[str, Score]:
        """Return the score of each class of a subject."""
        return {name: self._score(subject.on_voxels(name)) for name in subject.classes}

    def _score(self, values: np.ndarray) -> Score:
        size = np.abs(values)
        peak = float(size.max(initial=0.0))
        return Score(float((size > self.threshold * peak).mean()) if peak else float("nan"))
