"""Reals in half the bytes: float16 with a scale for each block of planes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

UNIT_PLANES = 16
"""Planes of a chunk of an attribution: what is buffered for each class while its planes arrive, and
what shares a scale."""

SCALES = "scales"
"""The attribute that holds the scales, one for each `UNIT_PLANES` planes of the first spatial axis."""


def encoded(block: NDArray[np.float32]) -> tuple[NDArray[np.float16], float]:
    """Return a block as float16 and its scale, the largest absolute value: no over- or underflow.

    Notes
    -----
    ``scale * stored`` misses a value by at most ``2^-12`` of the scale.
    """
    peak = float(np.abs(block).max(initial=0.0))
    scale = peak if np.isfinite(peak) and peak > 0 else 1.0
    return (block / np.float32(scale)).astype(np.float16), scale


def decoded(stored: NDArray[np.float16], scales: Sequence[float]) -> NDArray[np.float32]:
    """Return the values of planes ``[..., n, Y, Z]``, the first of which begins a block."""
    of_planes = np.repeat(np.asarray(scales, np.float32), UNIT_PLANES)[: stored.shape[-3]]
    return stored.astype(np.float32) * of_planes[:, None, None]
