"""Faithfulness (Eq. 8): the voxels that count most make the output drop most."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from agg2exp_core.metrics.metric import Metric, OutputDrops, Score, Subject
from agg2exp_core.metrics.subsets import Subsets

_BLOCK = 25
"""Subsets that are added at a time until the wanted precision is reached."""


_LEAST_PAIRS = 3


class Faithfulness(Subsets, Metric):
    """Correlation, over random voxel subsets, of attribution sums and drops of the output (Eq. 8).

    Notes
    -----
    The standard error is ``(1 - r^2) / sqrt(n - 1)``, that of a correlation of n normal pairs; of ranks it
    is larger by ``sqrt(1 + r^2 / 2)``. The details say how many subsets were taken, and their voxels.
    """

    name = "faithfulness"
    direction = "higher"
    bounds = (-1.0, 1.0)
    unit = "correlation"

    correlation: Literal["pearson", "spearman"] = "pearson"
    """Of the values, or of their ranks."""
    precision: float | None = None
    """Standard error at which no more subsets are taken."""

    @property
    def perturbations(self) -> Subsets:
        """The subsets, whatever is correlated."""
        return Subsets(**{name: getattr(self, name) for name in Subsets.model_fields})

    def scores(self, subject: Subject, output_drops: Callable[[int], OutputDrops]) -> Mapping[str, Score]:
        """Return the score of each class of a subject."""
        clean, names = subject.clean, subject.clean.model.class_names
        perturbations = self.perturbations
        subsets = [perturbations.voxels(clean, n) for n in range(self.n_subsets)]
        size = len(subsets[0])
        sums = {name: subset_sums(subject.on_voxels(name), subsets) for name in subject.classes}
        n = self.n_subsets if self.precision is None else min(_BLOCK, self.n_subsets)
        while True:
            rows = output_drops(n)[:n]
            scores = {name: self._score(sums[name][:n], rows[:, names.index(name)], size) for name in sums}
            if n == self.n_subsets or all(self._precise(score) for score in scores.values()):
                return scores
            n = min(n + _BLOCK, self.n_subsets)

    def _score(self, sums: NDArray[np.float64], drops: NDArray[np.float64], size: int) -> Score:
        n, ranks = len(sums), self.correlation == "spearman"
        r = correlate(sums, drops, ranks=ranks)
        error = (1 - r**2) / math.sqrt(n - 1) * (math.sqrt(1 + r**2 / 2) if ranks else 1)
        return Score(r, None if math.isnan(r) else error, {"n_subsets": n, "subset_voxels": size})

    def _precise(self, score: Score) -> bool:
        assert self.precision is not None
        return score.standard_error is not None and score.standard_error <= self.precision


def subset_sums(values: NDArray[np.floating], subsets: list[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Return the sums over subsets ``[n]`` of an attribution divided by its largest absolute value."""
    flat = values.reshape(-1, *values.shape[-3:]).sum(axis=0, dtype=np.float64).ravel()
    peak = np.abs(values).max(initial=0.0)
    sums = np.array([flat[voxels].sum() for voxels in subsets])
    return sums / peak if peak else sums


def correlate(a: NDArray[np.float64], b: NDArray[np.float64], *, ranks: bool = False) -> float:
    """Return the correlation of finite pairs, of their ranks if asked.

    NaN where one is constant, and of fewer than three pairs: a line goes through any two.
    """
    finite = np.isfinite(a) & np.isfinite(b)
    a, b = a[finite], b[finite]
    if ranks:
        a, b = rankdata(a), rankdata(b)
    if len(a) < _LEAST_PAIRS or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    return float(np.clip(np.corrcoef(a, b)[0, 1], -1.0, 1.0))
