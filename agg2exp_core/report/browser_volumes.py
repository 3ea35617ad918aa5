"""Volumes that a browser can hold: coarser, in bytes, packed; each small enough for its budget."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from agg2exp_core.types import FloatVolume, Grid, LabelVolume, Shape3

IMAGE_BYTES, LABEL_BYTES, ATTRIBUTION_BYTES = 4_500_000, 900_000, 12_000_000
"""Budgets of a scan: its image, its label map, the attributions of all its classes. As text (4 bytes for 3),
with pictures and scripts, they stay under 30 MB."""
STRONGEST = (1, 2, 5, 10, 20)
"""Percentages of voxels to choose from; what is weaker than the last of them is not kept."""
_STEPS = 127


@dataclass(frozen=True)
class BrowserVolume:
    """A volume for a browser.

    Parameters
    ----------
    nifti : bytes
        NIfTI-1 of 8-bit integers, gzip; equal input gives equal bytes.
    spacing_mm : tuple of float
        Edges of its voxels.
    thresholds : tuple of float
        For an attribution: the absolute value that the strongest 1, 2, 5, 10, 20% of voxels exceed, in stored
        units.
    unit : float
        What a step of the stored integers stands for, where it stands for something.
    """

    nifti: bytes
    spacing_mm: tuple[float, float, float]
    thresholds: tuple[float, ...] = ()
    unit: float = 1.0


def packed_image(values: FloatVolume, grid: Grid, most_bytes: int = IMAGE_BYTES) -> BrowserVolume:
    """Return an image in 256 greys between its 0.5th and 99.5th percentile, averaged over blocks of voxels.

    Parameters
    ----------
    values : ndarray of float, shape [X, Y, Z]
    grid : Grid
        Where the voxels lie.
    most_bytes : int
        What it may take.
    """
    dark, bright = (float(v) for v in np.nanpercentile(values, (0.5, 99.5)))
    scale = 255.0 / ((bright - dark) or 1.0)

    def encode(blocks: Shape3) -> NDArray[Any]:
        grey = (np.nan_to_num(_means(values, blocks)) - dark) * scale
        return np.rint(np.clip(grey, 0, 255)).astype(np.uint8)

    return _fitting(encode, grid, most_bytes)


def packed_hounsfield(
    hu: FloatVolume, grid: Grid, step: float, most_bytes: int = IMAGE_BYTES
) -> BrowserVolume:
    """Return an image ``[X, Y, Z]`` in whole steps of so many HU, averaged over blocks of voxels."""

    def encode(blocks: Shape3) -> NDArray[Any]:
        means = np.nan_to_num(_means(hu, blocks), nan=-1024.0)
        return np.rint(np.clip(means / step, -32768, 32767)).astype(np.int16)

    volume = _fitting(encode, grid, most_bytes)
    return BrowserVolume(volume.nifti, volume.spacing_mm, unit=step)


def packed_labels(labels: LabelVolume, grid: Grid, most_bytes: int = LABEL_BYTES) -> BrowserVolume:
    """Return a label map ``[X, Y, Z]`` by the voxel in the middle of each block."""

    def encode(blocks: Shape3) -> NDArray[Any]:
        middles = [
            np.minimum(np.arange(0, n, b) + b // 2, n - 1) for n, b in zip(labels.shape, blocks, strict=True)
        ]
        return np.asarray(labels[np.ix_(*middles)], dtype=np.min_scalar_type(int(labels.max())))

    return _fitting(encode, grid, most_bytes)


def packed_attribution(values: FloatVolume, grid: Grid, most_bytes: int) -> BrowserVolume:
    """Return an attribution in steps of 1/127 of its 99.9th percentile, signed, averaged over blocks.

    Absolute values that are not among the strongest 20% become 0.

    Parameters
    ----------
    values : ndarray of float, shape [X, Y, Z]
    grid : Grid
        Where the voxels lie.
    most_bytes : int
        What it may take.
    """
    found: dict[Shape3, tuple[tuple[float, ...], float]] = {}

    def encode(blocks: Shape3) -> NDArray[Any]:
        means = np.nan_to_num(_means(values, blocks), posinf=0.0, neginf=0.0)
        strength = np.abs(means)
        unit = (float(np.percentile(strength, 99.9)) or float(strength.max()) or 1.0) / _STEPS
        cuts = tuple(float(c) / unit for c in np.percentile(strength, [100 - share for share in STRONGEST]))
        found[blocks] = cuts, unit
        kept = np.where(strength >= cuts[-1] * unit, means / unit, 0.0)
        return np.asarray(np.rint(np.clip(kept, -_STEPS, _STEPS)), dtype=np.int8)

    volume = _fitting(encode, grid, most_bytes)
    blocks = next(b for b in reversed(found))
    thresholds, unit = found[blocks]
    return BrowserVolume(volume.nifti, volume.spacing_mm, tuple(max(t, 1.0) for t in thresholds), unit)


def _fitting(encode: Callable[[Shape3], NDArray[Any]], grid: Grid, most_bytes: int) -> BrowserVolume:
    """Encode with blocks of growing size until the bytes fit."""
    for blocks in _coarser(grid, most_bytes):
        coarse = coarse_grid(grid, blocks)
        data = _nifti(encode(blocks), coarse)
        if len(data) <= most_bytes or max(coarse.shape) == 1:
            break
    return BrowserVolume(data, coarse.spacing_mm)


def _coarser(grid: Grid, most_bytes: int) -> Iterator[Shape3]:
    """Yield blocks of 1, 2, 3, ... of the finest spacing, nearly cubes, where packing eightfold may fit."""
    finest = min(grid.spacing_mm)
    for side in range(1, max(grid.shape) + 1):
        x, y, z = (
            max(1, min(n, round(side * finest / mm)))
            for n, mm in zip(grid.shape, grid.spacing_mm, strict=True)
        )
        if np.prod(coarse_grid(grid, (x, y, z)).shape) <= 8 * most_bytes or side == max(grid.shape):
            yield x, y, z


def coarse_grid(grid: Grid, blocks: Shape3) -> Grid:
    """Return the grid of the blocks of voxels of another grid; the last block of an axis may be partial."""
    shape = tuple(-(-n // b) for n, b in zip(grid.shape, blocks, strict=True))
    step = np.diag([*blocks, 1.0])
    step[:3, 3] = [(b - 1) / 2 for b in blocks]
    return Grid((shape[0], shape[1], shape[2]), grid.affine @ step)


def _means(values: FloatVolume, blocks: Shape3) -> NDArray[np.float64]:
    """Return the means of blocks of voxels ``[X / bx, Y / by, Z / bz]``."""
    means = np.asarray(values, dtype=np.float64)
    for axis, block in enumerate(blocks):
        n = means.shape[axis]
        starts = np.arange(0, n, block)
        sizes = np.minimum(block, n - starts).reshape([-1 if i == axis else 1 for i in range(3)])
        means = np.add.reduceat(means, starts, axis=axis) / sizes
    return np.asarray(means)


def _nifti(values: NDArray[Any], grid: Grid) -> bytes:
    image: Any = nib.Nifti1Image(values, grid.affine)
    image.header.set_xyzt_units("mm")
    return gzip.compress(image.to_bytes(), compresslevel=6, mtime=0)
