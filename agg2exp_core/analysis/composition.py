"""Shares as coordinates: what sums to 1 is compared by ratios, not by differences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Coordinates = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From shares ``[..., n_rois]`` to coordinates ``[..., n_rois]``."""

FLOOR = 1e-3
"""Smallest share that is told from 0: what is below says how far apart regions are, not what matters."""


def replace_zeros(shares: NDArray[np.float64], floor: float = FLOOR) -> NDArray[np.float64]:
    """Return compositions ``[..., n_rois]`` without zeros: each share at least `floor`, then closed to 1."""
    raised = np.maximum(shares, floor)
    closed: NDArray[np.float64] = raised / raised.sum(axis=-1, keepdims=True)
    return closed


def log_ratios(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return centred log-ratios ``[..., n_rois]``: each logarithm less the mean one (Aitchison).

    They sum to 0; their Euclidean distance does not change when all shares of one region are scaled.
    """
    logs = np.log(replace_zeros(shares))
    centred: NDArray[np.float64] = logs - logs.mean(axis=-1, keepdims=True)
    return centred


def square_roots(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return square roots ``[..., n_rois]``, whose Euclidean distance is Hellinger's; zeros stay zeros."""
    roots: NDArray[np.float64] = np.sqrt(shares)
    return roots
