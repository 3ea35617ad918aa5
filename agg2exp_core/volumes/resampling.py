"""From one grid to another through the world: results to the scan's own space, masks to the model's."""

from __future__ import annotations

import itertools
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from agg2exp_core.errors import UsageError, unknown_name
from agg2exp_core.types import Affine, Grid

TOLERANCE_VOXELS = 1e-4
"""Grids that meet this well are the same: NIfTI stores affines in float32."""
SLAB_VOXELS = 1 << 22
"""Target voxels that are computed at a time."""


def resample(
    values: NDArray[Any],
    source: Grid,
    target: Grid,
    *,
    interpolation: Literal["nearest", "linear"],
    outside: float = 0,
) -> NDArray[Any]:
    """Take a volume from one grid to another.

    Parameters
    ----------
    values : ndarray, shape [X, Y, Z] or [C, X, Y, Z]
        On `source`.
    source, target : Grid
        From where and to where.
    interpolation : {"nearest", "linear"}
        Value between voxel centres. "nearest" keeps the data type; "linear" gives float64 for float64 and
        float32 for all others, and continues the outermost voxels to their edges.
    outside : float
        Value of target voxels whose centre lies in no source voxel.

    Returns
    -------
    ndarray, shape [*target.shape] or [C, *target.shape]
        Exactly the voxels of `values` where the grids differ by permuted or flipped axes and whole voxels.

    Raises
    ------
    UsageError
        If `values` are not on `source`, or the interpolation has another name.

    Notes
    -----
    Voxels are points here: nothing is smoothed when the target is coarser.
    """
    if interpolation not in ("nearest", "linear"):
        raise unknown_name("interpolation", interpolation, ("nearest", "linear"))
    if values.ndim not in (3, 4) or values.shape[-3:] != source.shape:
        raise UsageError(
            "values",
            got=f"shape {list(values.shape)} for a grid of {list(source.shape)}",
            allowed="[X, Y, Z] or [C, X, Y, Z] on the source grid",
            remedy="pass the grid that the values lie on",
        )
    if interpolation == "linear" and values.dtype != np.float64:
        values = values.astype(np.float32, copy=False)
    channels = values if values.ndim == 4 else values[None]
    to_source = np.linalg.inv(source.affine) @ target.affine  # target index -> source index
    result = np.full((len(channels), *target.shape), outside, dtype=values.dtype)
    steps = _whole_steps(to_source, target)
    for channel, out in zip(channels, result, strict=True):
        if steps is None:
            _interpolate(channel, to_source, out, order=int(interpolation == "linear"))
        else:
            _copy_voxels(channel, steps, out)
    return result if values.ndim == 4 else np.asarray(result[0])


def overlap_share(a: Grid, b: Grid) -> float:
    """Return the volume that the world boxes of two grids share, as a share of the smaller box.

    The world box of a grid is the smallest box along the world's axes that holds all its voxels.
    """
    (low_a, high_a), (low_b, high_b) = _world_box(a), _world_box(b)
    shared = np.clip(np.minimum(high_a, high_b) - np.maximum(low_a, low_b), 0, None)
    return float(np.prod(shared) / min(np.prod(high_a - low_a), np.prod(high_b - low_b)))


def _world_box(grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    corners = np.array(list(itertools.product(*((-0.5, n - 0.5) for n in grid.shape))))  # [8, 3]
    world = corners @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    return world.min(axis=0), world.max(axis=0)


def _whole_steps(to_source: Affine, target: Grid) -> NDArray[np.int64] | None:
    """Return the map as integers if it sends voxel centres to voxel centres, else None."""
    # the map is affine, so that what holds at the corners holds between them
    whole = np.rint(to_source)
    corners = np.array(list(itertools.product(*((0, n - 1) for n in target.shape), (1,))))  # [8, 4]
    meets = bool(np.all(np.abs(corners @ (to_source - whole).T) <= TOLERANCE_VOXELS))
    is_permutation = (
        np.array_equal(np.abs(whole[:3, :3]) @ np.ones(3), np.ones(3))
        and abs(np.linalg.det(whole[:3, :3])) == 1
    )
    return whole.astype(np.int64) if meets and is_permutation else None


def _copy_voxels(values: NDArray[Any], steps: NDArray[np.int64], out: NDArray[Any]) -> None:
    """Fill `out` with the voxels of `values` that it covers; `steps` [4, 4] sends its index to theirs."""
    source_axis = np.abs(steps[:3, :3]).argmax(axis=0)  # of each target axis
    picks, places = [], []
    for axis, n in enumerate(out.shape):
        along = steps[source_axis[axis], axis] * np.arange(n) + steps[source_axis[axis], 3]
        inside = (along >= 0) & (along < values.shape[source_axis[axis]])
        picks.append(along[inside])
        places.append(np.flatnonzero(inside))
    out[np.ix_(*places)] = values.transpose(source_axis)[np.ix_(*picks)]


def _interpolate(values: NDArray[Any], to_source: Affine, out: NDArray[Any], order: int) -> None:
    """Fill `out`, slab by slab along its first axis, where its centres lie in a voxel of `values`."""
    linear, offset = to_source[:3, :3], to_source[:3, 3]
    # ndimage takes no booleans; slabs bound the memory of the coordinates
    readable = values.view(np.uint8) if values.dtype == np.bool_ else values
    thickness = max(1, SLAB_VOXELS // (out.shape[1] * out.shape[2]))
    for start in range(0, out.shape[0], thickness):
        slab = out[start : start + thickness]
        origin = offset + linear[:, 0] * start
        inside = np.ones(slab.shape, dtype=np.bool_)
        for axis, n in enumerate(values.shape):
            x, y, z = (linear[axis, k] * np.arange(m) for k, m in enumerate(slab.shape))
            along = x[:, None, None] + y[:, None] + z + origin[axis]  # [X, Y, Z]
            # a voxel reaches half a voxel beyond its centre; beyond that there is nothing to interpolate
            inside &= (along >= -0.5 - TOLERANCE_VOXELS) & (along <= n - 0.5 + TOLERANCE_VOXELS)
        if inside.any():
            sampled = ndimage.affine_transform(
                readable, linear, origin, slab.shape, output=readable.dtype, order=order, mode="nearest"
            )
            slab[inside] = sampled[inside]
