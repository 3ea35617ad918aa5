"""Do abnormal scans have poor segmentations? Scores beside Dice."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import spearmanr

from agg2exp_core.analysis.cohort import log_ratios
from agg2exp_core.analysis.detectors import mahalanobis
from agg2exp_core.analysis.statistics import adjusted, no_common_scan

LEAST_SCORED = 5
"""Scans with both numbers, for a correlation to be given."""
MEANS = "mean over classes"
"""Row of the scan's means."""


def agreement(score: xr.DataArray, dice: xr.DataArray) -> pd.DataFrame:
    """Correlate a score with Dice per class, and the two means over classes (Table 2 of the paper).

    Parameters
    ----------
    score, dice : DataArray with dimensions (scan, target)
        The score grows with abnormality: a sensible one has negative correlations. (The paper's grows with
        normality.) Only scans and classes of both count.

    Returns
    -------
    DataFrame
        A row per class, and last `MEANS` (where a class that was not found has a Dice of 0 and no score):
        `class`, `n`, `spearman`, `p_value`, `p_adjusted` (Benjamini and Hochberg over the classes), sorted by
        p-value. NaN with fewer than `LEAST_SCORED` scans, or where one of the two does not vary.

    Raises
    ------
    UsageError
        If no scan is in both.
    """
    score, dice = common(score, dice)
    pairs = {str(name): (score.sel(target=name), dice.sel(target=name)) for name in score["target"].values}
    rows = [{"class": name, **_correlation(x.values, y.values)} for name, (x, y) in pairs.items()]
    frame = pd.DataFrame(rows, columns=["class", "n", "spearman", "p_value"])
    frame["p_adjusted"] = adjusted(frame["p_value"])
    frame = frame.sort_values(["p_value", "class"], ignore_index=True)
    means = [field.where(dice.notnull()).mean("target").values for field in (score, dice)]
    frame.loc[len(frame)] = {"class": MEANS, **_correlation(*means), "p_adjusted": np.nan}
    return frame


def unusual_volume(volume: xr.DataArray, reference: xr.DataArray) -> xr.DataArray:
    """Return how far the volume of each class is from the reference (scan, target): a simple sign.

    Parameters
    ----------
    volume, reference : DataArray with dimensions (scan, target)
        Voxels, or shares of the scan; 0 or NaN where a class is absent.

    Returns
    -------
    DataArray with dimensions (scan, target)
        Absolute difference of the logarithm from the reference's mean, in its standard deviations.
    """
    ours, theirs = (xr.DataArray(np.log(v.where(v > 0))) for v in (volume, reference))
    distance: xr.DataArray = abs(ours - theirs.mean("scan")) / theirs.std("scan", ddof=1)
    return distance


def unusual_composition(volume: xr.DataArray, reference: xr.DataArray) -> xr.DataArray:
    """Return how far the classes' shares of a scan are from the reference (scan), as `log_ratio` scores rows.

    It needs no explanation at all: what a score of matrices finds beyond it is the matrices' own. Without a
    reference of its own a scan is among those that it is compared with.

    Parameters
    ----------
    volume, reference : DataArray with dimensions (scan, target)
        Voxels, or shares of the scan; 0 or NaN where a class is absent.
    """
    volume, reference = xr.align(volume, reference, join="inner", exclude="scan")
    ours, theirs = (np.nan_to_num(v.transpose("scan", "target").values) for v in (volume, reference))
    ours, theirs = (rows / rows.sum(axis=1, keepdims=True) for rows in (ours, theirs))
    distance = mahalanobis(theirs, 0, log_ratios)(ours)
    return xr.DataArray(distance, {"scan": volume["scan"].values}, ("scan",))


def common(first: xr.DataArray, second: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Return the part of both that has the same scans and classes, in one order.

    Raises
    ------
    UsageError
        If no scan is in both.
    """
    first, second = xr.align(first, second, join="inner")
    if not first.size:
        raise no_common_scan("--dice", "Dice of scans of the store, under their ids and class names")
    order = ("scan", "target")
    return first.transpose(*order).sortby("scan"), second.transpose(*order).sortby("scan")


def _correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> dict[str, float]:
    both = np.isfinite(x) & np.isfinite(y)
    x, y, n = x[both], y[both], int(both.sum())
    if n < LEAST_SCORED or np.ptp(x) == 0 or np.ptp(y) == 0:
        return {"n": n, "spearman": np.nan, "p_value": np.nan}
    found = spearmanr(x, y)
    return {"n": n, "spearman": float(found.statistic), "p_value": float(found.pvalue)}
