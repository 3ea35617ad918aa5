"""The innermost loop of the reduction, compiled: one pass over the voxels, no copy of them."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(nogil=True, fastmath={"reassoc"})
def add_runs(
    channels: NDArray[np.floating[Any]],
    index: NDArray[np.integer[Any]],
    runs: NDArray[np.intp],
    sums: NDArray[np.float64],
) -> None:
    """Add sums of positive values, of negative values, and of squares of voxels, by atom.

    Parameters
    ----------
    channels : ndarray of float, shape [C, n_voxels]
        The values; a square is that of a voxel's sum over channels.
    index : ndarray of integers, shape [n_voxels]
        Atom of each voxel.
    runs : ndarray of int, shape [n_runs]
        Where stretches of one atom start, ascending from 0: inside one, sums stay in registers.
    sums : ndarray of float64, shape [3, n_atoms]
        What is added to. NaN spreads into the negative sums.
    """
    n_channels, n_voxels = channels.shape
    for run in range(len(runs)):
        start = runs[run]
        stop = runs[run + 1] if run + 1 < len(runs) else n_voxels
        positive, negative, square = 0.0, 0.0, 0.0
        if n_channels == 1:
            for voxel in range(start, stop):
                value = np.float64(channels[0, voxel])
                positive += value if value > 0 else 0.0
                negative += 0.0 if value > 0 else value
                square += value * value
        else:
            for voxel in range(start, stop):
                total = 0.0
                for channel in range(n_channels):
                    value = np.float64(channels[channel, voxel])
                    positive += value if value > 0 else 0.0
                    negative += 0.0 if value > 0 else value
                    total += value
                square += total * total
        atom = index[start]
        sums[0, atom] += positive
        sums[1, atom] += negative
        sums[2, atom] += square
