"""How abnormal a row is beside the rows of reference scans; every score grows with abnormality."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.stats import median_abs_deviation
from sklearn.covariance import ledoit_wolf
from sklearn.ensemble import IsolationForest

from agg2exp_core.analysis.cohort import Coordinates, Rows, log_ratios, square_roots

Scorer = Callable[[Rows], NDArray[np.float64]]
"""From rows ``[n_scans, n_rois]`` to scores ``[n_scans]``."""
Detector = Callable[[Rows, int], Scorer]
"""From reference rows ``[n_reference, n_rois]`` and a seed to a scorer."""

N_TREES = 100
VARIANCE_KEPT = 0.7
"""Of the reference, by the components whose residual is scored."""
_LEAST_SPREAD = 0.1
"""Of a coordinate, relative to the mean one: what never varied in the reference is not infinitely far."""


def isolation_forest(rows: Rows, seed: int) -> Scorer:
    """Fit the paper's detector: an Isolation Forest of 100 trees on the shares themselves.

    The score is scikit-learn's ``decision_function`` with its sign turned.
    """
    forest = IsolationForest(n_estimators=N_TREES, random_state=seed).fit(rows)
    return lambda new: -np.asarray(forest.decision_function(new), dtype=np.float64)


def mahalanobis(rows: Rows, seed: int, coordinates: Coordinates) -> Scorer:
    """Fit mean and Ledoit-Wolf covariance of standardised coordinates; score the root mean square distance.

    Shrinkage keeps the covariance regular with fewer scans than regions, and on the simplex, where it
    is singular by nature.
    """
    standardise = _standardiser(coordinates(rows))
    covariance, _ = ledoit_wolf(standardise(coordinates(rows)), assume_centered=True)
    precision = np.linalg.pinv(covariance, hermitian=True)

    def score(new: Rows) -> NDArray[np.float64]:
        z = standardise(coordinates(new))  # [n_scans, n_rois]
        distance: NDArray[np.float64] = np.sqrt(np.einsum("ij,jk,ik->i", z, precision, z) / z.shape[1])
        return distance

    return score


def pca_residual(rows: Rows, seed: int) -> Scorer:
    """Fit principal components of standardised log-ratios; score what they leave of a row."""
    standardise = _standardiser(log_ratios(rows))
    _, scale, axes = np.linalg.svd(standardise(log_ratios(rows)), full_matrices=False)
    explained = np.cumsum(scale**2) / np.sum(scale**2)
    kept = axes[: int(np.searchsorted(explained, VARIANCE_KEPT)) + 1]

    def score(new: Rows) -> NDArray[np.float64]:
        z = standardise(log_ratios(new))
        rest: NDArray[np.float64] = np.sqrt(np.mean((z - z @ kept.T @ kept) ** 2, axis=1))
        return rest

    return score


def robust_z(rows: Rows, seed: int) -> Scorer:
    """Fit median and median absolute deviation of each log-ratio; score the root mean square deviation."""
    z = log_ratios(rows)
    centre, spread = np.median(z, axis=0), median_abs_deviation(z, axis=0, scale="normal")
    inverse = _inverse(spread)
    return lambda new: np.sqrt(np.mean(((log_ratios(new) - centre) * inverse) ** 2, axis=1))


def _standardiser(z: Rows) -> Callable[[Rows], Rows]:
    centre, inverse = z.mean(axis=0), _inverse(z.std(axis=0, ddof=1))
    return lambda new: (new - centre) * inverse


def _inverse(spread: NDArray[np.float64]) -> NDArray[np.float64]:
    least = max(_LEAST_SPREAD * float(spread.mean()), np.finfo(np.float64).tiny)
    out: NDArray[np.float64] = 1 / np.maximum(spread, least)
    return out


DETECTORS: Mapping[str, Detector] = {
    "log_ratio": partial(mahalanobis, coordinates=log_ratios),
    "hellinger": partial(mahalanobis, coordinates=square_roots),
    "pca_residual": pca_residual,
    "robust_z": robust_z,
    "isolation_forest": isolation_forest,
}
"""By name; the first is the default."""
DEFAULT_DETECTOR = next(iter(DETECTORS))
