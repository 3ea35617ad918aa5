"""Faithfulness (Eq. 8): the voxels that count most make the output fall most."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from agg2exp_core.attribution.baselines import parse_baseline
from agg2exp_core.attribution.method import Geometry, Method, Passes
from agg2exp_core.attribution.ranges import at_least, one_of
from agg2exp_core.errors import UsageError
from agg2exp_core.metrics.metric import Falls, Score, Subject
from agg2exp_core.metrics.outputs import check_readout
from agg2exp_core.metrics.subsets import Subsets

_BLOCK = 25
"""Subsets that are added at a time until the wanted precision is reached."""


_LEAST_PAIRS = 3


@dataclass(frozen=True)
class Faithfulness:
    """Correlation, over random voxel subsets, of attribution sums and falls of the output (Eq. 8).

    Parameters
    ----------
    n_subsets : int
        Subsets, at most.
    subset_size : int
        Voxels of each; at most half of the scan's.
    subset_share : float, optional
        In place of the size: the share of the scan's voxels.
    baseline : str
        What removed voxels become, as for integrated gradients.
    aggregation : str
        ``sum``, ``mean`` or ``probability`` (Eq. 2).
    mask : str
        ``fixed`` from the clean scan, or ``recomputed`` on each perturbed one, as the published code.
    output : str
        ``logits``, or ``probabilities``, as the published code.
    correlation : str
        ``pearson`` or ``spearman``.
    precision : float, optional
        Standard error at which no more subsets are taken.

    Notes
    -----
    The standard error is ``(1 - r^2) / sqrt(n - 1)``, that of a correlation of n normal pairs; of ranks it
    is larger by ``sqrt(1 + r^2 / 2)``. The details say how many subsets were taken, and their voxels.
    """

    name: ClassVar[str] = "faithfulness"
    direction: ClassVar[Literal["higher", "lower"]] = "higher"
    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    unit: ClassVar[str] = "correlation"
    n_subsets: int = 100
    subset_size: int = 224**2
    subset_share: float | None = None
    baseline: str = "zero"
    aggregation: str = "sum"
    mask: str = "fixed"
    output: str = "logits"
    correlation: str = "pearson"
    precision: float | None = None

    def __post_init__(self) -> None:
        at_least("n_subsets", self.n_subsets, 3)
        at_least("subset_size", self.subset_size, 1)
        if self.subset_share is not None and not 0 < self.subset_share < 1:
            raise UsageError(
                "subset_share",
                got=f"{self.subset_share}",
                allowed="more than 0, less than 1",
                remedy="give the share of the scan that each subset holds",
            )
        object.__setattr__(self, "baseline", parse_baseline(self.baseline))
        one_of("mask", self.mask, ("fixed", "recomputed"))
        one_of("output", self.output, ("logits", "probabilities"))
        one_of("correlation", self.correlation, ("pearson", "spearman"))
        check_readout(self.aggregation, self.mask, self.output)

    @property
    def perturbations(self) -> Subsets:
        """The subsets."""
        return Subsets(
            self.n_subsets,
            self.subset_size,
            self.subset_share,
            self.baseline,
            self.aggregation,
            self.mask,
            self.output,
        )

    def scores(self, subject: Subject, falls: Callable[[int], Falls]) -> Mapping[str, Score]:
        """Return the score of each class of a subject."""
        clean, names = subject.clean, subject.clean.model.class_names
        subsets = [self.perturbations.voxels(clean, n) for n in range(self.n_subsets)]
        size = len(subsets[0])
        sums = {name: subset_sums(subject.on_voxels(name), subsets) for name in subject.classes}
        n = self.n_subsets if self.precision is None else min(_BLOCK, self.n_subsets)
        while True:
            rows = falls(n)[:n]
            scores = {name: self._score(sums[name][:n], rows[:, names.index(name)], size) for name in sums}
            if n == self.n_subsets or all(self._precise(score) for score in scores.values()):
                return scores
            n = min(n + _BLOCK, self.n_subsets)

    def _score(self, sums: NDArray[np.float64], falls: NDArray[np.float64], size: int) -> Score:
        n, ranks = len(sums), self.correlation == "spearman"
        r = correlate(sums, falls, ranks=ranks)
        error = (1 - r**2) / math.sqrt(n - 1) * (math.sqrt(1 + r**2 / 2) if ranks else 1)
        return Score(r, None if math.isnan(r) else error, {"n_subsets": n, "subset_voxels": size})

    def _precise(self, score: Score) -> bool:
        assert self.precision is not None
        return score.standard_error is not None and score.standard_error <= self.precision

    def passes(self, geometry: Geometry, method: Method) -> Passes:
        """Return none: all passes are those of the perturbations."""
        return Passes(0)


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
