"""How well signs find poor segmentations, and how far predicted Dice can be trusted, where Dice is known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import rankdata

from agg2exp_core.analysis.agreement import MEANS, common
from agg2exp_core.analysis.statistics import ratio

N_RESAMPLES = 400
"""Of the scans, with replacement, for the intervals."""
LEVEL = 0.95
Numbers = NDArray[np.float64]


def detection(
    signs: Mapping[str, xr.DataArray], dice: xr.DataArray, threshold: float | None = None, seed: int = 0
) -> pd.DataFrame:
    """Compare signs of poor segmentations: by scan, within each class, and over all pairs of scan and class.

    Parameters
    ----------
    signs : mapping of str to DataArray with dimensions (scan, target), or (scan)
        By name; each grows with suspicion. One number a scan stands for all of its classes.
    dice : DataArray with dimensions (scan, target)
        The truth.
    threshold : float, optional
        Dice under which a segmentation is poor; by default the fifth with the lowest Dice is, within a class
        that of the class.
    seed : int
        Of the resamples.

    Returns
    -------
    DataFrame
        A row per sign and unit: `n`, `n_poor`, `threshold` (NaN where each class has its own), `auroc` (of
        telling the poor ones; NaN if all are alike), `aurc` (area under the curve of mean ``1 - Dice`` over
        coverage when the most suspicious are handed to a human first), `aurc_best` and `aurc_random` (with
        the order of Dice itself, and with none), and `auroc_low`, `auroc_high`, `aurc_low`, `aurc_high`:
        bootstrap intervals of 95% over scans. The units are "scan" (its means), "within class" (means over
        the classes that have both good and poor ones: no threshold tells thin organs from thick ones there)
        and "scan and class" (all pairs that have both numbers, so that a class that was not found, of Dice 0
        and without a sign, counts in the scan's mean alone).
    """
    rows = []
    for name, sign in signs.items():
        ours, truth = common(sign.broadcast_like(dice), dice)
        ours = ours.where(truth.notnull())
        x, y = ours.mean("target").values, truth.mean("target").values
        rows.append({"sign": name, "unit": "scan", **_detecting(x, y, threshold, seed)})
        within = [
            _detecting(*column, threshold, seed) for column in zip(ours.values.T, truth.values.T, strict=True)
        ]
        rows.append({"sign": name, "unit": "within class", **_mean(within)})
        x, y = ours.values, truth.values
        rows.append({"sign": name, "unit": "scan and class", **_detecting(x, y, threshold, seed)})
    return pd.DataFrame(rows)


def trust(predicted: pd.DataFrame, dice: xr.DataArray, threshold: float = 0.85) -> pd.DataFrame:
    """Return how far predicted Dice is from the truth, and how often its lower bound holds.

    Parameters
    ----------
    predicted : DataFrame
        A row per scan and class: `scan`, `class`, `dice`, `lower` (NaN without a bound).
    dice : DataArray with dimensions (scan, target)
        The truth.
    threshold : float
        Dice under which a segmentation is poor.

    Returns
    -------
    DataFrame
        A row per class, then `MEANS` (the scans' means; without bounds) and "all classes": `class`, `n`,
        `error` (mean absolute), `n_bounded`, `coverage` and `width` (mean distance of bound and prediction)
        of those with a bound, and `n_poor`, `coverage_poor` of the poor ones among them: over all, a bound
        holds just because most are good.
    """
    truth = dice.rename("truth").to_dataframe().reset_index().rename(columns={"target": "class"}).dropna()
    both = predicted.merge(truth[["scan", "class", "truth"]], on=["scan", "class"])
    rows = [{"class": name, **_trusted(group, threshold)} for name, group in both.groupby("class")]
    means = both.groupby("scan")[["dice", "truth"]].mean().assign(lower=np.nan)
    rows.append({"class": MEANS, **_trusted(means, threshold)})
    rows.append({"class": "all classes", **_trusted(both, threshold)})
    return pd.DataFrame(rows)


def risk_coverage(suspicion: Numbers, risk: Numbers) -> Numbers:
    """Return the mean risk of the 1, 2, ... least suspicious ``[..., n]``; ties share their mean risk."""
    order = np.argsort(suspicion, axis=-1, kind="stable")
    x, y = (np.take_along_axis(part, order, axis=-1) for part in (suspicion, risk))
    n = x.shape[-1]
    begins = np.ones(x.shape, bool)
    begins[..., 1:] = x[..., 1:] != x[..., :-1]
    tie = np.cumsum(begins) - 1  # over all curves: the first of each begins a new one
    means = np.bincount(tie, y.ravel()) / np.bincount(tie)
    curve: Numbers = np.cumsum(means[tie].reshape(y.shape), axis=-1) / np.arange(1, n + 1)
    return curve


def auroc(suspicion: Numbers, is_poor: NDArray[np.bool_]) -> Numbers:
    """Return the probability that a poor one is more suspicious than a good one ``[...]``, of ``[..., n]``.

    Ties count half; NaN where all are alike.
    """
    n_poor = is_poor.sum(axis=-1)
    ranks = np.where(is_poor, rankdata(suspicion, axis=-1), 0).sum(axis=-1)
    return ratio(ranks - n_poor * (n_poor + 1) / 2, n_poor * (is_poor.shape[-1] - n_poor))


def _detecting(x: Numbers, y: Numbers, threshold: float | None, seed: int) -> dict[str, float]:
    """Return the measures of one unit, of suspicions and Dice ``[n_scans]`` or ``[n_scans, L]``."""
    both = np.isfinite(x) & np.isfinite(y)
    if not both.any():
        measures = ("auroc", "auroc_low", "auroc_high", "aurc", "aurc_low", "aurc_high")
        numbers = ("threshold", "aurc_best", "aurc_random", *measures)
        return {"n": 0, "n_poor": 0} | dict.fromkeys(numbers, np.nan)
    dice = y[both]
    limit = float(np.quantile(dice, 0.2)) if threshold is None else threshold
    poor = dice <= limit if threshold is None else dice < limit
    told = {
        "n": int(both.sum()),
        "n_poor": int(poor.sum()),
        "threshold": limit,
        "auroc": float(auroc(x[both], poor)),
        # the area under a risk-coverage curve is the mean of its points
        "aurc": float(risk_coverage(x[both], 1 - dice).mean()),
        "aurc_best": float(risk_coverage(1 - dice, 1 - dice).mean()),
        "aurc_random": float(1 - dice.mean()),
    }
    if x.ndim == 1:  # of pairs, whole scans would have to be drawn again
        draws = np.random.default_rng(seed).integers(0, len(dice), (N_RESAMPLES, len(dice)))
        of_draws = {
            "auroc": auroc(x[both][draws], poor[draws]),
            "aurc": risk_coverage(x[both][draws], 1 - dice[draws]).mean(axis=-1),
        }
        for name, values in of_draws.items():
            told[f"{name}_low"], told[f"{name}_high"] = _interval(values)
    return told


def _interval(values: Numbers) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    if not len(known):
        return np.nan, np.nan
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _mean(within: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean of the classes that have both good and poor ones, and how many they are in all."""
    mixed = [told for told in within if 0 < told["n_poor"] < told["n"]]
    if not mixed:
        measures = ("auroc", "auroc_low", "auroc_high", "aurc", "aurc_low", "aurc_high")
        numbers = ("threshold", "aurc_best", "aurc_random", *measures)
        return {"n": 0, "n_poor": 0} | dict.fromkeys(numbers, np.nan)
    names = ("auroc", "aurc", "aurc_best", "aurc_random")
    told: dict[str, float] = {name: float(np.mean([one[name] for one in mixed])) for name in names}
    return {"n": sum(one["n"] for one in mixed), "n_poor": sum(one["n_poor"] for one in mixed), **told}


def _trusted(rows: pd.DataFrame, threshold: float) -> dict[str, float]:
    bounded = rows[rows["lower"].notna()]
    holds, is_poor = bounded["lower"] <= bounded["truth"], bounded["truth"] < threshold
    return {
        "n": len(rows),
        "error": float((rows["dice"] - rows["truth"]).abs().mean()),
        "n_bounded": len(bounded),
        "coverage": float(holds.mean()),
        "width": float((bounded["dice"] - bounded["lower"]).mean()),
        "n_poor": int(is_poor.sum()),
        "coverage_poor": float(holds[is_poor].mean()),
    }
