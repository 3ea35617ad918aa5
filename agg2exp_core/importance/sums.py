"""Sums over regions as mergeable data: a block at a time, combined in any order, finished once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agg2exp_core.importance.kernel import add_runs
from agg2exp_core.importance.regions import Atoms

Sums = NDArray[np.float64]
"""One number per region and for the whole scan ``[n_rois + 1]``."""


@dataclass(frozen=True, eq=False)
class RoiSums:
    """What a matrix's row needs to know of an attribution, per region and for the whole scan (last).

    Parameters
    ----------
    n_voxels : ndarray of float64, shape [n_rois + 1]
        Number of voxels.
    positive, negative : ndarray of float64, shape [n_rois + 1]
        Sums of the positive values, and of the absolute values of the negative ones, over all channels.
    square : ndarray of float64, shape [n_rois + 1]
        Sum of the squares of the voxels' values, channels added up.
    """

    n_voxels: Sums
    positive: Sums
    negative: Sums
    square: Sums

    def __add__(self, other: RoiSums) -> RoiSums:
        return RoiSums(
            self.n_voxels + other.n_voxels,
            self.positive + other.positive,
            self.negative + other.negative,
            self.square + other.square,
        )

    def as_array(self) -> NDArray[np.float64]:
        """Return the fields in their order ``[4, n_rois + 1]``: ``RoiSums(*array)`` is the same again."""
        return np.stack([self.n_voxels, self.positive, self.negative, self.square])

    @property
    def absolute(self) -> Sums:
        """Sum of absolute values: the L1 norm over each region."""
        return self.positive + self.negative

    @property
    def signed(self) -> Sums:
        """Sum of values."""
        return self.positive - self.negative

    @property
    def variance(self) -> Sums:
        """Population variance over voxels, channels added up; NaN where there are none."""
        mean = ratio(self.signed, self.n_voxels)
        return np.maximum(ratio(self.square, self.n_voxels) - mean**2, 0.0)


def ratio(numerator: Sums, denominator: Any) -> Sums:
    """Return the quotient, NaN where the denominator is zero."""
    out: Sums = np.full(np.broadcast_shapes(np.shape(numerator), np.shape(denominator)), np.nan)
    np.divide(numerator, denominator, out=out, where=np.not_equal(denominator, 0))
    return out


def roi_sums(values: NDArray[np.floating[Any]], atoms: Atoms) -> RoiSums:
    """Sum a block of an attribution over regions, in float64.

    Parameters
    ----------
    values : ndarray of float, shape [X, Y, Z] or [C, X, Y, Z]
        The block.
    atoms : Atoms
        The regions in that block.
    """
    channels = values.reshape(-1, atoms.index.size)  # [C, X * Y * Z]
    sums = np.zeros((3, atoms.n_atoms))
    add_runs(channels, atoms.index.reshape(-1), atoms.runs, sums)
    with np.errstate(invalid="ignore"):  # an infinite value spreads, and is refused at the end
        per_region = np.abs(sums) @ atoms.membership.T  # [3, n_rois + 1]
    return RoiSums(atoms.n_voxels, *per_region)
