"""From soft Dice to Dice: a monotone map for each class, with a bound that holds where it matters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from sklearn.isotonic import IsotonicRegression

from agg2exp_core.errors import UsageError
from agg2exp_core.settings import Real, Settings

CLEAN = "clean"
"""The corruption of a scan that has none."""
LEAST_ROWS = 20
"""Segmentations of a class for it to have a map of its own, and poor ones of a level for its own margin."""
LEVELS = (0.0, 0.5, 0.7, 0.85)
"""Predicted Dice, before it is scaled, from which on margins differ: the lower, the less is known."""
ROOM = 1.5
"""A class is unlike what calibration saw if it is this much smaller or larger than the extremes there."""

Numbers = tuple[Real, ...]


class ClassMap(Settings):
    """From a class's soft Dice to its Dice.

    Raises
    ------
    UsageError
        If a field is missing, or no number.
    """

    soft_dice: Annotated[Numbers, Field(min_length=1)]
    """Knots of the map, rising."""
    dice: Annotated[Numbers, Field(min_length=1)]
    """Dice at the knots, never falling; linear between them, constant outside."""
    usual: Real
    """Predicted Dice of the clean scans, mean."""
    least_voxels: Real
    """Of the class among all that calibration saw."""
    most_voxels: Real
    """Likewise."""
    scale: Real = 1.0
    """Mean known Dice of the class, where it was given: the clean segmentation is not perfect."""


class QualityMap(Settings):
    """What calibration learnt of a model.

    Raises
    ------
    UsageError
        If a field is missing, or no number.
    """

    model: str
    """Fingerprint of the model."""
    model_name: str
    """For people."""
    coverage: Real
    """Rate at which the lower bound should hold among poor segmentations."""
    poor: Real
    """Dice under which a segmentation is poor."""
    n_scans: int
    """Scans that were corrupted."""
    corruptions: dict[str, list[float]]
    """Severities by name."""
    scaled: bool
    """Whether known Dice scale the predictions."""
    classes: dict[str, ClassMap]
    """By name."""
    margins: Annotated[Numbers, Field(min_length=len(LEVELS), max_length=len(LEVELS))]
    """What the lower bound lies under the prediction, from each of `LEVELS` on."""

    def predict(self, doubts: pd.DataFrame) -> pd.DataFrame:
        """Return the predicted Dice of segmentations.

        Parameters
        ----------
        doubts : DataFrame
            A row per segmentation of a scan and class: `scan`, `class`, `soft_dice`, `n_voxels`.

        Returns
        -------
        DataFrame
            `scan`, `class`, `dice`, `lower` (NaN where `outside`), `usual`, `outside` (whether the soft Dice
            is lower, or the class smaller or larger, than any that calibration saw); only classes with a map.
        """
        return predict_dice(self.classes, self.margins, doubts)


def predict_dice(
    maps: Mapping[str, ClassMap], margins: Sequence[float], doubts: pd.DataFrame
) -> pd.DataFrame:
    """Return the predicted Dice by maps of classes and margins of levels, as `QualityMap.predict` does."""
    rows = []
    doubts = doubts[["scan", "class", "soft_dice", "n_voxels"]]
    for scan, name, soft_dice, n_voxels in doubts.itertuples(index=False, name=None):
        of_class = maps.get(str(name))
        if of_class is None:
            continue
        unscaled = float(np.interp(soft_dice, of_class.soft_dice, of_class.dice))
        dice = of_class.scale * unscaled
        outside = (
            soft_dice < of_class.soft_dice[0]
            or n_voxels * ROOM < of_class.least_voxels
            or n_voxels > ROOM * of_class.most_voxels
        )
        lower = np.nan if outside else max(dice - margins[int(_level(unscaled))], 0.0)
        rows.append((scan, name, dice, lower, of_class.scale * of_class.usual, outside))
    return pd.DataFrame(rows, columns=["scan", "class", "dice", "lower", "usual", "outside"])


def fit_maps(rows: pd.DataFrame, known: pd.Series | None = None) -> dict[str, ClassMap]:
    """Fit the map of each class; one with too few rows shares the map of all.

    Parameters
    ----------
    rows : DataFrame
        A row per scan, corruption and class: `corruption`, `class`, `soft_dice`, `n_voxels`, `dice`.
    known : Series of float by class, optional
        Mean Dice of a class on clean scans.
    """
    rows = rows.dropna(subset=["soft_dice", "dice"])
    maps = {}
    for name, group in rows.groupby("class", sort=False):
        x, y = _knots(group if len(group) >= LEAST_ROWS else rows)
        clean = group.loc[group["corruption"] == CLEAN, "soft_dice"]
        maps[str(name)] = ClassMap(
            soft_dice=tuple(x),
            dice=tuple(y),
            usual=float(np.interp(clean, x, y).mean()) if len(clean) else float(y[-1]),
            least_voxels=float(group["n_voxels"].min()),
            most_voxels=float(group["n_voxels"].max()),
            scale=1.0 if known is None else float(known.get(name, 1.0)),
        )
    return maps


def fit_margins(rows: pd.DataFrame, *, coverage: float, poor: float) -> tuple[float, ...]:
    """Return what a lower bound lies under a prediction, from each of `LEVELS` on.

    It is conformal among poor segmentations alone, of all classes together: kinds of corruption are left out
    of the maps in turn, and of the excess of the predicted over the true Dice of poor ones the quantile
    `coverage` is taken, with the correction for their number. So bounds hold for kinds of failure that
    calibration did not see, as far as those resemble each other; where a segmentation is good they are safe.
    A level with too few poor ones has the margin of all.

    Parameters
    ----------
    rows : DataFrame
        As `fit_maps` takes it.
    coverage : float
        Rate at which the bound should hold.
    poor : float
        Dice under which a segmentation is poor.

    Raises
    ------
    UsageError
        If no segmentation is poor, so that nothing can be learnt.
    """
    rows = rows.dropna(subset=["soft_dice", "dice"]).reset_index(drop=True)
    foretold = np.full(len(rows), np.nan)
    for kind in set(rows["corruption"]) - {CLEAN}:
        of_kind = (rows["corruption"] == kind).to_numpy()
        foretold[of_kind] = _predicted(rows[~of_kind], rows[of_kind])
    is_poor = (rows["dice"] < poor).to_numpy() & np.isfinite(foretold)
    if not is_poor.any():
        raise UsageError(
            "calibration",
            got="no poor segmentation of any corrupted scan",
            allowed=f"some with a Dice under {poor:g}",
            remedy="give more scans, or raise --poor",
        )
    excess, level = (foretold - rows["dice"].to_numpy())[is_poor], _level(foretold[is_poor])
    of_levels = [excess[level == number] for number in range(len(LEVELS))]
    margins = (_upper(own if len(own) >= LEAST_ROWS else excess, coverage) for own in of_levels)
    return tuple(max(margin, 0.0) for margin in margins)


def read_quality(path: Path) -> QualityMap:
    """Return what `agg2exp calibrate` wrote.

    Raises
    ------
    UsageError
        If the file cannot be read, or is something else.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(
            "--quality",
            got=f"{path}: {' '.join(str(error).split())[:200]}",
            allowed="the quality.json of agg2exp calibrate",
            remedy="check the path",
        ) from None
    return QualityMap.checked(content, path)


def _knots(rows: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    fitted = IsotonicRegression(y_min=0, y_max=1).fit(rows["soft_dice"], rows["dice"])
    return np.asarray(fitted.X_thresholds_, np.float64), np.asarray(fitted.y_thresholds_, np.float64)


def _predicted(fitted: pd.DataFrame, new: pd.DataFrame) -> NDArray[np.float64]:
    """Return the Dice of new rows by the maps of others."""
    out = pd.Series(np.nan, new.index)
    for name, group in new.groupby("class"):
        own = fitted[fitted["class"] == name]
        own = own if len(own) >= LEAST_ROWS else fitted
        if len(own):
            out[group.index] = np.interp(group["soft_dice"], *_knots(own))
    return np.asarray(out, np.float64)


def _level(dice: ArrayLike) -> NDArray[np.int64]:
    """Return which of `LEVELS` predicted Dice has reached."""
    return np.searchsorted(LEVELS, dice, side="right") - 1


def _upper(values: NDArray[np.float64], coverage: float) -> float:
    """Return the conformal quantile: the largest value where there are too few for the rate."""
    rank = int(np.ceil(coverage * (len(values) + 1)))
    return float(np.sort(values)[min(rank, len(values)) - 1])
