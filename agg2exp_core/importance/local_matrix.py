"""Local importance: one scan's class-by-region matrix (Eq. 7)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import dask.array as da
import numpy as np
import xarray as xr

from agg2exp_core.errors import ScanError, UsageError
from agg2exp_core.importance.dask_sums import sums_from_arrays
from agg2exp_core.importance.roi_set import RoiSet
from agg2exp_core.importance.sums import RoiSums, Sums, quotient, roi_sums
from agg2exp_core.labels import BACKGROUND
from agg2exp_core.types import ClassAttribution, Mask, Prediction

VARIABLES = (
    "mass",
    "mass_positive",
    "mass_negative",
    "signed",
    "mean",
    "concentration",
    "variance",
    "mass_without_background",
)
"""The variables with dimensions (target, roi)."""


def local_importance(
    items: Iterable[ClassAttribution],
    rois: RoiSet | Prediction | Mapping[str, Mask],
    *,
    background: str = BACKGROUND,
) -> xr.Dataset:
    """Reduce the attributions of a scan to its class-by-region matrix (Eq. 7 of the paper).

    Parameters
    ----------
    items : iterable of ClassAttribution
        Attributions ``[X, Y, Z]`` or ``[C, X, Y, Z]``, taken one at a time.
    rois : RoiSet, Prediction, or mapping of str to bool array [X, Y, Z]
        The regions. With a partition, the targets are all its classes.
    background : str
        The region that `mass_without_background` leaves out.

    Returns
    -------
    Dataset with dimensions (target, roi)
        The coordinate `roi_kind` tells "class" (they partition the scan), "merged" and "extra" apart. With
        ``S_ab`` the sum of ``|e_a|`` over region b and all channels:

        - `mass`: ``S_ab / ||e_a||_1``
        - `mass_positive`, `mass_negative`: share of the positive, of the negative total; NaN without one
        - `signed`: sum of ``e_a`` over b, divided by ``||e_a||_1``
        - `mean`: ``S_ab`` per voxel of b
        - `concentration`: `mass` divided by the region's share of the volume
        - `variance`: population variance of ``e_a`` over the voxels of b, channels added up
        - `mass_without_background`: ``S_ab`` divided by what lies outside the background; the background
          itself is NaN
        - `norm` (target): ``||e_a||_1``
        - `n_voxels` (roi): voxels of b

        Rows of absent classes and columns of absent regions are NaN; absent regions have no voxels.

    Raises
    ------
    UsageError
        If an attribution is of no class of the partition, comes twice, or has another shape.
    ScanError
        If an attribution holds NaN or infinite values.
    """
    regions = RoiSet.of(rois)
    split = regions.atoms()
    sums: dict[str, RoiSums] = {}
    for item in items:
        _check(item.class_name, item.values.shape, sums, regions)
        sums[item.class_name] = roi_sums(item.values, split)
    return _finalise(sums, split.n_voxels, regions, background)


def local_importance_from_arrays(
    attributions: Mapping[str, da.Array],
    rois: RoiSet,
    *,
    known: Mapping[str, RoiSums] | None = None,
    background: str = BACKGROUND,
) -> xr.Dataset:
    """Reduce stored attributions to the class-by-region matrix, in one pass with Dask.

    Memory holds a few chunks, whatever the size of the scan; see `sums_from_arrays`.

    Parameters
    ----------
    attributions : mapping of str to dask.array, shape [X, Y, Z] or [C, X, Y, Z]
        By class name.
    rois : RoiSet
        The regions, with NumPy or Dask arrays.
    known : mapping of str to RoiSums, optional
        Sums over the same regions by class name, of attributions that are not given.
    background : str
        The region that `mass_without_background` leaves out.

    Returns
    -------
    Dataset with dimensions (target, roi)
        As `local_importance` returns it.

    Raises
    ------
    UsageError
        If an attribution is of no class of the partition, or has another shape.
    ScanError
        If an attribution holds NaN or infinite values.
    """
    known = known or {}
    for name, values in attributions.items():
        _check(name, values.shape, known, rois)
    computed, counts = sums_from_arrays(attributions, rois)
    return _finalise({**known, **computed}, counts, rois, background)


def _check(name: str, shape: tuple[int, ...], seen: Collection[str], rois: RoiSet) -> None:
    if name in seen or (rois.class_names and name not in rois.class_names):
        raise UsageError(
            f"attribution of {name}",
            got="a second one" if name in seen else "a class that the prediction does not have",
            allowed=f"each of {list(rois.class_names)} once" if rois.class_names else "each class once",
            remedy="pass the attributions of one method on this prediction",
        )
    if shape[-3:] != rois.shape or len(shape) not in (3, 4):
        raise UsageError(
            f"attribution of {name}",
            got=f"shape {list(shape)}",
            allowed=f"[X, Y, Z] or [C, X, Y, Z] with [X, Y, Z] = {list(rois.shape)} as the regions have",
            remedy="pass attributions and regions of one scan on one grid",
        )


def _finalise(sums: Mapping[str, RoiSums], n_voxels: Sums, rois: RoiSet, background: str) -> xr.Dataset:
    targets = rois.class_names or tuple(sums)
    size = n_voxels[:-1]
    rows = [_row(name, sums[name], n_voxels, rois, background) if name in sums else {} for name in targets]
    missing = np.full(size.shape, np.nan)
    matrices = {
        variable: (
            ("target", "roi"),
            np.array([np.where(size > 0, row.get(variable, missing), np.nan) for row in rows]).reshape(
                len(targets), len(size)
            ),
        )
        for variable in VARIABLES
    }
    norm = [sums[name].absolute[-1] if name in sums else np.nan for name in targets]
    return xr.Dataset(
        {**matrices, "norm": ("target", np.array(norm)), "n_voxels": ("roi", size.astype(np.int64))},
        {
            "target": np.array(targets, dtype=str),
            "roi": np.array(rois.names, dtype=str),
            "roi_kind": ("roi", np.array(rois.kinds, dtype=str)),
        },
    )


def _row(name: str, sums: RoiSums, n_voxels: Sums, rois: RoiSet, background: str) -> dict[str, Sums]:
    absolute, norm = sums.absolute[:-1], sums.absolute[-1]
    if not np.isfinite(norm):
        raise ScanError(
            f"attribution of {name}",
            got="NaN or infinite values",
            allowed="finite values",
            remedy="check the scan's intensities and the model's weights",
        )
    mass = quotient(absolute, norm)
    # classes partition the scan, merged and extra regions overlap them and would count twice
    is_background = np.array(rois.names) == background
    if rois.class_names:
        outside = absolute[(np.array(rois.kinds) == "class") & ~is_background].sum()
    else:
        outside = norm - absolute[is_background].sum()
    return {
        "mass": mass,
        "mass_positive": quotient(sums.positive[:-1], sums.positive[-1]),
        "mass_negative": quotient(sums.negative[:-1], sums.negative[-1]),
        "signed": quotient(sums.signed[:-1], norm),
        "mean": quotient(absolute, n_voxels[:-1]),
        "concentration": quotient(mass, quotient(n_voxels[:-1], n_voxels[-1])),
        "variance": sums.variance[:-1],
        "mass_without_background": np.where(is_background, np.nan, quotient(absolute, outside)),
    }
