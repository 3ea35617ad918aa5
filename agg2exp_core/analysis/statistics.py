"""What every table of tests needs: permutation and adjusted p-values, ratios, errors for too little data."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import false_discovery_control

from agg2exp_core.errors import UsageError

N_PERMUTATIONS = 9999


class TooFewError(UsageError):
    """An analysis that needs more scans or classes than there are; the others can be made."""


def no_common_scan(option: str, allowed: str) -> UsageError:
    """Return the error for a table of which no row is of a scan of the store."""
    return UsageError(
        option,
        got="no scan of the store",
        allowed=allowed,
        remedy="compare the ids with those of `agg2exp export`",
    )


def ratio(totals: ArrayLike, counts: ArrayLike) -> NDArray[np.float64]:
    """Return totals over counts, of shapes that broadcast; NaN where a count is 0 or less."""
    over, under = np.broadcast_arrays(np.asarray(totals, np.float64), np.asarray(counts, np.float64))
    quotient: NDArray[np.float64] = np.divide(over, under, out=np.full(over.shape, np.nan), where=under > 0)
    return quotient


def adjusted(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return Benjamini and Hochberg's adjusted p-values, of any shape; NaN where there is no test."""
    p = np.asarray(p_values, dtype=np.float64)
    out = np.full(p.shape, np.nan)
    tested = np.isfinite(p)
    if tested.any():
        out[tested] = false_discovery_control(np.clip(p[tested], 0.0, 1.0))
    return out


def permutation_p(observed: ArrayLike, permuted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``(1 + n permuted at least as large) / (1 + n permuted)``: never 0, and valid (Phipson 2010).

    Parameters
    ----------
    observed : array, shape [...]
        Statistics that grow with the difference.
    permuted : ndarray of float64, shape [n_permutations, ...]
        The same under permutation.

    Returns
    -------
    ndarray of float64, shape [...]
        NaN where nothing was observed.
    """
    least = np.asarray(observed, dtype=np.float64)
    # rounding must not tell apart permutations that give the same statistic
    reached = permuted >= least * (1 - 1e-12) - 1e-300
    p: NDArray[np.float64] = np.where(
        np.isnan(least), np.nan, (1 + reached.sum(axis=0)) / (1 + len(permuted))
    )
    return p
