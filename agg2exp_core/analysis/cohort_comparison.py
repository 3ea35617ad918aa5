"""Two cohorts, or two models on one cohort: which entries differ, how far apart they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics.pairwise import nan_euclidean_distances

from agg2exp_core.analysis.cohort import Cohort, check_alike, log_ratios
from agg2exp_core.analysis.statistics import N_PERMUTATIONS, TooFewError, adjusted, permutation_p, ratio

_BLOCK = 512
"""Scans whose distances from all others are computed together."""
LEAST_COMPARED = 3
"""Scans of a cohort that is compared."""


@dataclass(frozen=True)
class Distance:
    """How far two cohorts are apart as a whole.

    Parameters
    ----------
    energy : float
        Energy distance of the log-ratio matrices: 0 for the same distribution.
    p_value : float
        Share of permutations of the scans between the cohorts that reach it.
    n_first, n_second : int
        Scans.
    paired : bool
        Whether scans were only exchanged within pairs.
    """

    energy: float
    p_value: float
    n_first: int
    n_second: int
    paired: bool


def compare_entries(
    first: Cohort,
    second: Cohort,
    *,
    paired: bool = False,
    n_permutations: int = N_PERMUTATIONS,
    seed: int = 0,
) -> pd.DataFrame:
    """Test each entry of the matrix for a difference of the mean share.

    Parameters
    ----------
    first, second : Cohort
        Of the same classes.
    paired : bool
        Compare the same scans (two models): only scans of both count, and signs of differences are flipped
        instead of scans exchanged.
    n_permutations : int
    seed : int

    Returns
    -------
    DataFrame
        A row per entry, the smallest p-value first: `class`, `roi`, `n_first`, `n_second`, `mean_first`,
        `mean_second`, `difference` (first less second), `p_value` (two-sided), `p_adjusted` (Benjamini and
        Hochberg over the entries). NaN where a cohort has no scan with the class.

    Raises
    ------
    UsageError
        If the cohorts are of other classes, or too small.
    """
    x, y = _matched(first, second, paired)
    signs = _signs(len(x), len(y), paired, n_permutations, seed)
    values = (x - y) if paired else np.concatenate([x, y])  # [n, L, n_rois]
    flat = values.reshape(len(values), -1)
    differences = (_mean_signed if paired else _difference)(signs, flat)
    p_values = permutation_p(np.abs(differences[0]), np.abs(differences[1:]))
    L, n_rois = x.shape[1:]
    present = [np.isfinite(part[:, :, 0]).sum(axis=0) for part in (x, y)]
    means = [ratio(np.nansum(part, axis=0), np.isfinite(part).sum(axis=0)).ravel() for part in (x, y)]
    frame = pd.DataFrame(
        {
            "class": np.repeat(first.targets, n_rois),
            "roi": np.tile(first.rois, L),
            "n_first": np.repeat(present[0], n_rois),
            "n_second": np.repeat(present[1], n_rois),
            "mean_first": means[0],
            "mean_second": means[1],
            "difference": differences[0],
            "p_value": p_values,
            "p_adjusted": adjusted(p_values),
        }
    )
    return frame.sort_values(["p_value", "class", "roi"], ignore_index=True)


def energy_distance(
    first: Cohort,
    second: Cohort,
    *,
    paired: bool = False,
    n_permutations: int = N_PERMUTATIONS,
    seed: int = 0,
) -> Distance:
    """Measure how far two cohorts are apart, ``2 E|X - Y| - E|X - X'| - E|Y - Y'|`` (Szekely, Rizzo 2013).

    Scans are compared by the log-ratios of all their rows; two scans by the classes that both have.

    Parameters
    ----------
    first, second : Cohort
        Of the same classes.
    paired : bool
        Exchange scans within pairs alone, for two models on the same scans.
    n_permutations : int
    seed : int

    Raises
    ------
    UsageError
        If the cohorts are of other classes, or too small.
    """
    x, y = _matched(first, second, paired)
    points = log_ratios(np.concatenate([x, y])).reshape(len(x) + len(y), -1)
    distances = _distances(points)
    signs = _signs(len(x), len(y), paired, n_permutations, seed)
    if paired:  # the second scan of a pair goes where the first does not
        signs = np.concatenate([signs, -signs], axis=1)
    energy = _energies(distances, signs > 0 if len(x) <= len(y) else signs < 0)
    p_value = float(permutation_p(energy[0], energy[1:]))
    return Distance(float(energy[0]), p_value, len(x), len(y), paired)


def _distances(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return distances of all pairs ``[n, n]``, block by block; 0 where two scans have no class in common."""
    distances = np.empty((len(points), len(points)))
    for start in range(0, len(points), _BLOCK):
        rows = slice(start, start + _BLOCK)
        distances[rows] = np.nan_to_num(nan_euclidean_distances(points[rows], points))
    np.fill_diagonal(distances, 0.0)
    return distances


def _energies(distances: NDArray[np.float64], is_small: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the energy distance under each way ``[n_permutations, n]`` to choose the smaller cohort.

    With weights ``w = u / n_small - (1 - u) / n_large`` it is ``-w D w``: twice the cross term less the inner
    ones. They sum to 0, so that D may be centred; what is left then are pairs within the smaller cohort.
    """
    centred = distances - distances.mean(axis=0)
    centred -= centred.mean(axis=1, keepdims=True)
    inner = np.array([centred[np.ix_(rows, rows)].sum() for rows in map(np.flatnonzero, is_small)])
    n_small = int(is_small[0].sum())
    return np.asarray(-((1 / n_small + 1 / (len(distances) - n_small)) ** 2) * inner)


def _matched(first: Cohort, second: Cohort, paired: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    check_alike(first, second)
    if paired:
        both = set(first.scans) & set(second.scans)
        first, second = first.subset(both), second.subset(both)
    for cohort in (first, second):
        if len(cohort.scans) < LEAST_COMPARED:
            raise TooFewError(
                "comparison",
                got=f"{len(cohort.scans)} scans{' in both' * paired}",
                allowed=f"at least {LEAST_COMPARED}",
                remedy="explain more scans",
            )
    return first.shares, second.shares


def _signs(n_first: int, n_second: int, paired: bool, n_permutations: int, seed: int) -> NDArray[np.float64]:
    """Return 1 for the first cohort and -1 for the second ``[1 + n_permutations, n]``; row 0 is observed."""
    rng = np.random.default_rng(seed)
    if paired:
        flips = rng.choice([1.0, -1.0], size=(n_permutations, n_first))
        return np.concatenate([np.ones((1, n_first)), flips])
    observed = np.r_[np.ones(n_first), -np.ones(n_second)]
    return np.concatenate([observed[None], rng.permuted(np.tile(observed, (n_permutations, 1)), axis=1)])


def _difference(signs: NDArray[np.float64], flat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return mean of the first less mean of the second ``[n_permutations, n_entries]`` over present ones."""
    present, values = np.isfinite(flat).astype(np.float64), np.nan_to_num(flat)
    first, second = (ratio(part @ values, part @ present) for part in (signs > 0, signs < 0))
    return np.asarray(first - second)


def _mean_signed(signs: NDArray[np.float64], flat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of paired differences under their signs ``[n_permutations, n_entries]``."""
    return ratio(signs @ np.nan_to_num(flat), np.isfinite(flat).sum(axis=0))
