"""Local matrices as a flat table, in the column scheme of the paper's published data."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from agg2exp_core.importance.sums import Sums, quotient


def to_table(
    local: xr.Dataset,
    *,
    iou: Mapping[str, Mapping[str, float]] | None = None,
    dice: Mapping[str, Mapping[str, float]] | None = None,
) -> pd.DataFrame:
    """Return a row per scan, with the columns of the paper's published table in its order.

    Parameters
    ----------
    local : Dataset with dimensions (scan, target, roi)
        As `stack_scans` returns it.
    iou, dice : mapping of str to mapping of str to float, optional
        Scores by scan id and class, where the true labels are known.

    Returns
    -------
    DataFrame
        `patient`; then for each class a ``{a}_explanation_in_{b}_mass`` and ``..._mean`` for each region b,
        ``{a}_explanation_var`` and ``{a}_explanation_mean`` (signed values of the whole scan, when classes
        partition it); then ``{a}_iou`` and ``{a}_dice`` where given.
    """
    mass, mean = local["mass"].transpose("scan", ...).values, local["mean"].transpose("scan", ...).values
    variance, average = _whole_scan(local)
    targets, rois = local["target"].values.tolist(), local["roi"].values.tolist()
    scans = local["scan"].values.tolist()
    columns: dict[str, object] = {"patient": scans}
    for a, target in enumerate(targets):
        for b, roi in enumerate(rois):
            columns[f"{target}_explanation_in_{roi}_mass"] = mass[:, a, b]
            columns[f"{target}_explanation_in_{roi}_mean"] = mean[:, a, b]
        columns[f"{target}_explanation_var"] = variance[:, a]
        columns[f"{target}_explanation_mean"] = average[:, a]
    for score, values in (("iou", iou), ("dice", dice)):
        if values is not None:
            for target in targets:
                columns[f"{target}_{score}"] = [values.get(scan, {}).get(target, np.nan) for scan in scans]
    return pd.DataFrame(columns)


def _whole_scan(local: xr.Dataset) -> tuple[Sums, Sums]:
    """Return variance and mean ``[n_scans, n_targets]`` of the signed values, pooled over the classes."""
    classes = local.isel(roi=np.flatnonzero(local["roi_kind"].values == "class")).transpose("scan", ...)
    size = classes["n_voxels"].values[:, None, :].astype(np.float64)  # [n_scans, 1, n_classes]
    total = classes["signed"].values * classes["norm"].values[:, :, None]
    mean = quotient(total, size)
    # variance and mean of each region give back its sum of squares
    square = (classes["variance"].values + mean**2) * size
    present = np.isfinite(classes["norm"].values)
    n_voxels = np.where(present, size.sum(axis=2), 0.0)
    average = quotient(np.nansum(total, axis=2), n_voxels)
    return np.maximum(quotient(np.nansum(square, axis=2), n_voxels) - average**2, 0.0), average
