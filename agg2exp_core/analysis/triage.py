"""Which scans a human should look at first, at which class, how bad it is, and how sure that is."""

from __future__ import annotations

import numpy as np
import pandas as pd

from agg2exp_core.labels import readable

COLUMNS = ("scan", "predicted_dice", "class", "class_dice", "lower", "outside", "sentence", "why")
N_REASONS = 2


def triage(predicted: pd.DataFrame, why: pd.DataFrame | None) -> pd.DataFrame:
    """Return the scans by their predicted Dice, the worst first, each with the class that falls shortest.

    Parameters
    ----------
    predicted : DataFrame
        A row per scan and class: `scan`, `class`, `dice`, `lower`, `usual`, `outside`.
    why : DataFrame, optional
        As `reasons` returns it.

    Returns
    -------
    DataFrame
        `scan`, `predicted_dice` (mean over the classes that the model found), `class` (the one furthest below
        its usual predicted Dice), `class_dice`, `lower` (NaN without a bound), `outside`, `sentence`, `why`
        (what is unusual about the matrix: of that class, else of the scan; empty where nothing is known).
    """
    rows = []
    for scan, group in predicted.groupby("scan", sort=False):
        worst = group.iloc[int(np.argmax(group["usual"] - group["dice"]))]
        rows.append(
            {
                "scan": scan,
                "predicted_dice": group["dice"].mean(),
                "class": worst["class"],
                "class_dice": worst["dice"],
                "lower": worst["lower"],
                "outside": bool(worst["outside"]),
                "sentence": dice_sentence(worst["class"], worst["dice"], worst["lower"]),
                "why": "" if why is None else _reason(why[why["scan"] == scan], worst["class"]),
            }
        )
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.sort_values(["predicted_dice", "scan"], ignore_index=True)


def dice_sentence(class_name: str, dice: float, lower: float) -> str:
    """Return what Dice a class probably has; without a bound where it is unlike all that calibration saw."""
    if np.isnan(lower):
        return f"{readable(class_name)}: about {dice:.2f}, but unlike anything that calibration saw: no bound"
    return f"{readable(class_name)}: about {dice:.2f}, probably above {lower:.2f}"


def _reason(why: pd.DataFrame, class_name: str) -> str:
    of_class = why[why["class"] == class_name]
    return "; ".join((why if of_class.empty else of_class)["sentence"].head(N_REASONS))
