"""Compare the outlier detectors on a table with Dice: ``python -m agg2exp_core.analysis TABLE.csv``.

Each scan is scored by the others (leave-one-out); prints, for each detector, Spearman's correlation of score
and Dice over scans (means over classes) with a 95% bootstrap interval over scans, the mean of the classes'
correlations, how many of them are significant, and AUROC for the fifth of scans with the lowest mean Dice.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import spearmanr

from agg2exp_core.analysis.agreement import MEANS, agreement
from agg2exp_core.analysis.cohort import cohort_of
from agg2exp_core.analysis.detection import detection
from agg2exp_core.analysis.detectors import DETECTORS
from agg2exp_core.analysis.outliers import OutlierSettings, score_left_out
from agg2exp_core.analysis.published import read_published
from agg2exp_core.errors import Agg2ExpError, UsageError

N_BOOTSTRAP = 2000
_LEVEL = 0.05


def compare_detectors(local: xr.Dataset, seed: int = 0) -> pd.DataFrame:
    """Return how each detector agrees with Dice, a row a detector.

    Raises
    ------
    UsageError
        If the table has no Dice.
    """
    if "dice" not in local:
        raise UsageError(
            "table", got="no Dice", allowed="columns CLASS_dice", remedy="give a table with them"
        )
    return pd.DataFrame(_rows(local, seed)).set_index("detector")


def _rows(local: xr.Dataset, seed: int) -> Iterator[dict[str, object]]:
    cohort = cohort_of(local)
    for name in DETECTORS:
        scores = score_left_out(cohort, OutlierSettings(detector=name, seed=seed))["score"]
        table = agreement(scores, local["dice"]).set_index("class")
        classes = table.drop(index=MEANS)
        found = detection({name: scores}, local["dice"]).set_index("unit").loc["scan"]
        low, high = _interval(scores.mean("target"), local["dice"].mean("target"), seed)
        yield {
            "detector": name,
            "spearman": table.loc[MEANS, "spearman"],
            "ci_low": low,
            "ci_high": high,
            "p_value": table.loc[MEANS, "p_value"],
            "spearman_classes": classes["spearman"].mean(),
            "n_significant": int((classes["p_value"] < _LEVEL).sum()),
            "n_after_adjustment": int((classes["p_adjusted"] < _LEVEL).sum()),
            "auroc_lowest_fifth": found["auroc"],
        }


def _interval(score: xr.DataArray, dice: xr.DataArray, seed: int) -> tuple[float, float]:
    x, y = (part.values for part in xr.align(score, dice))
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(x), size=(N_BOOTSTRAP, len(x)))
    low, high = np.nanquantile([spearmanr(x[i], y[i]).statistic for i in drawn], [0.025, 0.975])
    return float(low), float(high)


def main(arguments: list[str]) -> int:
    """Print the comparison; return the exit code."""
    if len(arguments) != 1:
        print("error: arguments: give one table in the paper's column scheme, with Dice", file=sys.stderr)  # noqa: T201
        return 2
    try:
        table = compare_detectors(read_published(Path(arguments[0])))
    except Agg2ExpError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    print(table.round(3).to_string())  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
