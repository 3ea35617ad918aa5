"""Do abnormal scans have poor segmentations? Scores beside Dice, and beside simpler signs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

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
    score, dice = _common(score, dice)
    pairs = {str(name): (score.sel(target=name), dice.sel(target=name)) for name in score["target"].values}
    rows = [{"class": name, **_correlation(x.values, y.values)} for name, (x, y) in pairs.items()]
    frame = pd.DataFrame(rows, columns=["class", "n", "spearman", "p_value"])
    frame["p_adjusted"] = adjusted(frame["p_value"])
    frame = frame.sort_values(["p_value", "class"], ignore_index=True)
    means = [field.where(dice.notnull()).mean("target").values for field in (score, dice)]
    frame.loc[len(frame)] = {"class": MEANS, **_correlation(*means), "p_adjusted": np.nan}
    return frame


def detection(
    signs: Mapping[str, xr.DataArray], dice: xr.DataArray, threshold: float | None = None
) -> pd.DataFrame:
    """Compare signs of poor segmentations: scans' means, and all pairs of scan and class.

    Parameters
    ----------
    signs : mapping of str to DataArray with dimensions (scan, target), or (scan)
        By name; each grows with suspicion. One number a scan stands for all of its classes.
    dice : DataArray with dimensions (scan, target)
        The truth.
    threshold : float, optional
        Dice under which a segmentation is poor; by default the fifth with the lowest Dice is.

    Returns
    -------
    DataFrame
        A row per sign and unit ("scan": its means; "scan and class": pairs that have both numbers, so that a
        class that was not found, of Dice 0 and without a sign, counts in the scan's mean alone): `n`,
        `n_poor`, `threshold`, `auroc` (of telling the poor ones; NaN if all are alike), `aurc` (area under
        the curve of mean ``1 - Dice`` over coverage when the most suspicious are handed to a human first),
        `aurc_best` and `aurc_random` (with the order of Dice itself, and with none).
    """
    rows = []
    for name, sign in signs.items():
        ours, truth = _common(sign.broadcast_like(dice), dice)
        ours = ours.where(truth.notnull())
        for unit, x, y in (
            ("scan", ours.mean("target").values, truth.mean("target").values),
            ("scan and class", ours.values.ravel(), truth.values.ravel()),
        ):
            rows.append({"sign": name, "unit": unit, **_detecting(x, y, threshold)})
    return pd.DataFrame(rows)


def risk_coverage(suspicion: NDArray[np.float64], risk: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean risk of the 1, 2, ... least suspicious; ties share their mean risk ``[n]``."""
    frame = pd.DataFrame({"suspicion": suspicion, "risk": risk}).sort_values("suspicion", kind="stable")
    tied = frame.groupby("suspicion")["risk"].transform("mean")
    curve: NDArray[np.float64] = np.cumsum(tied.to_numpy()) / np.arange(1, len(tied) + 1)
    return curve


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


def _common(first: xr.DataArray, second: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
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


def _detecting(x: NDArray[np.float64], y: NDArray[np.float64], threshold: float | None) -> dict[str, float]:
    both = np.isfinite(x) & np.isfinite(y)
    x, y = x[both], y[both]
    if not len(x):
        numbers = ("threshold", "auroc", "aurc", "aurc_best", "aurc_random")
        return {"n": 0, "n_poor": 0} | dict.fromkeys(numbers, np.nan)
    limit = float(np.quantile(y, 0.2)) if threshold is None else threshold
    poor = y <= limit if threshold is None else y < limit
    mixed = 0 < poor.sum() < len(poor)
    # the area under a risk-coverage curve is the mean of its points
    return {
        "n": len(x),
        "n_poor": int(poor.sum()),
        "threshold": limit,
        "auroc": float(roc_auc_score(poor, x)) if mixed else np.nan,
        "aurc": float(risk_coverage(x, 1 - y).mean()),
        "aurc_best": float(risk_coverage(1 - y, 1 - y).mean()),
        "aurc_random": float(1 - y.mean()),
    }
