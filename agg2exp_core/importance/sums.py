"""Sums over regions as mergeable data: a block at a time, combined in any order, finished once.

The innermost loop is compiled: one pass over the voxels, no copy of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from agg2exp_core.importance.roi_set import Atoms, RoiSet

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
        mean = quotient(self.signed, self.n_voxels)
        return np.maximum(quotient(self.square, self.n_voxels) - mean**2, 0.0)  # rounding may fall below 0


def quotient(numerator: Sums, denominator: Any) -> Sums:
    """Return the quotient, NaN where the denominator is zero."""
    out: Sums = np.full(np.broadcast_shapes(np.shape(numerator), np.shape(denominator)), np.nan)
    np.divide(numerator, denominator, out=out, where=np.not_equal(denominator, 0))
    return out


def roi_sums(values: NDArray[np.floating[Any]], split: Atoms) -> RoiSums:
    """Sum a block of an attribution over regions, in float64.

    Parameters
    ----------
    values : ndarray of float, shape [X, Y, Z] or [C, X, Y, Z]
        The block.
    split : Atoms
        The regions in that block.
    """
    channels = values.reshape(-1, split.index.size)  # [C, X * Y * Z]
    sums = np.zeros((3, split.n_atoms))
    add_runs(channels, split.index.reshape(-1), split.runs, sums)
    with np.errstate(invalid="ignore"):  # an infinite value spreads, and is refused at the end
        per_region = np.abs(sums) @ split.membership.T  # [3, n_rois + 1]
    return RoiSums(split.n_voxels, *per_region)


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


class StreamedSums:
    """The `RoiSums` of attributions whose planes come in order.

    Parameters
    ----------
    rois : RoiSet
        The regions.
    """

    def __init__(self, rois: RoiSet) -> None:
        self._rois = rois
        self._sums: dict[str, RoiSums] = {}
        self._atoms: dict[tuple[int, int], Atoms] = {}  # those of the planes that came last

    def add(self, class_name: str, start: int, values: NDArray[np.floating[Any]]) -> None:
        """Add planes ``[n, Y, Z]`` or ``[C, n, Y, Z]`` from plane `start` on; with plane 0 a class begins."""
        part = roi_sums(values, self._split(start, start + values.shape[-3]))
        self._sums[class_name] = part if start == 0 else self._sums[class_name] + part

    def take(self, class_name: str) -> RoiSums:
        """Return the sums of a class whose planes are all there, and forget them."""
        return self._sums.pop(class_name)

    def _split(self, start: int, stop: int) -> Atoms:
        if (start, stop) not in self._atoms:
            self._atoms = {(start, stop): self._rois.atoms(slice(start, stop))}
        return self._atoms[start, stop]
