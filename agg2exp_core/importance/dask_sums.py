"""Sums over regions of stored attributions: a block at a time with Dask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dask.array as da
from dask.base import compute
from dask.delayed import delayed
from numpy.typing import NDArray

from agg2exp_core.importance.combining import combined
from agg2exp_core.importance.roi_set import Atoms, RoiSet, atoms
from agg2exp_core.importance.sums import RoiSums, Sums, roi_sums


def sums_from_arrays(attributions: Mapping[str, da.Array], rois: RoiSet) -> tuple[dict[str, RoiSums], Sums]:
    """Sum attributions over regions, in one pass with Dask.

    Each chunk becomes a `RoiSums`, and these are combined as a tree: memory holds a few chunks, whatever
    the size of the scan, and the result does not depend on the chunks. The scheduler is Dask's current one.

    Parameters
    ----------
    attributions : mapping of str to dask.array, shape [X, Y, Z] or [C, X, Y, Z]
        By class name, on the grid of the regions.
    rois : RoiSet
        The regions, with NumPy or Dask arrays.

    Returns
    -------
    sums : dict of str to RoiSums
        By class name.
    n_voxels : ndarray of float64, shape [n_rois + 1]
        Of each region and of the scan.
    """
    regions = [*([] if rois.labels is None else [rois.labels]), *rois.extra.values()]
    region_blocks, value_blocks = _aligned(regions, list(attributions.values()))
    split = delayed(_split_block)
    splits = [
        split(rois.labels is not None, blocks, len(rois.class_names), rois.unions) for blocks in region_blocks
    ]
    sums = {
        name: combined([delayed(roi_sums)(block, part) for block, part in zip(blocks, splits, strict=True)])
        for name, blocks in zip(attributions, value_blocks, strict=True)
    }
    n_voxels = combined([part.n_voxels for part in splits])
    return compute(sums, n_voxels)  # type: ignore[no-any-return, no-untyped-call]


def _aligned(regions: Sequence[Any], values: Sequence[da.Array]) -> tuple[list[list[Any]], list[list[Any]]]:
    """Cut all arrays alike, as the attributions are cut, or the regions where there are none.

    Returns the blocks of the regions by place, and those of each attribution.
    """
    spatial = [da.asarray(region) for region in regions]  # type: ignore[no-untyped-call]
    channelled = [(v if v.ndim == 4 else v[None]).rechunk({0: -1}) for v in values]  # [C, X, Y, Z]
    arguments: list[Any] = [item for n, array in enumerate(channelled) for item in (array, (n, *"xyz"))]
    arguments = arguments or [item for array in spatial for item in (array, "xyz")]
    chunks, arrays = da.core.unify_chunks(*arguments, warn=False)  # type: ignore[no-untyped-call]
    of_regions = [array.rechunk(tuple(chunks[axis] for axis in "xyz")) for array in spatial]
    region_blocks = [array.to_delayed().ravel().tolist() for array in of_regions]
    value_blocks = [array.to_delayed().ravel().tolist() for array in arrays] if values else []
    return [list(place) for place in zip(*region_blocks, strict=True)], value_blocks


def _split_block(
    has_labels: bool, blocks: Sequence[NDArray[Any]], n_classes: int, unions: Sequence[Sequence[int]]
) -> Atoms:
    labels, masks = (blocks[0], blocks[1:]) if has_labels else (None, blocks)
    return atoms(labels, masks, n_classes, unions)
