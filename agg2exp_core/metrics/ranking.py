"""Which method's matrix can be trusted: methods ranked by two measures of its truth."""

from __future__ import annotations

import json

import pandas as pd

from agg2exp_core.metrics.metric import REFERENCE_METHOD
from agg2exp_core.metrics.regions import DROP_VARIANTS, REFERENCE_DETAILS, RoiDistance, RoiFaithfulness
from agg2exp_core.metrics.table import mean_and_sd, named

OF_REGIONS = (RoiDistance.name, RoiFaithfulness.name)
"""The metrics by which methods are ranked."""

LEGEND = (
    "distance: total variation between the rows of a method's matrix and the exact one, the reference; "
    "output drop: correlation of a row with the drop of its class's output when each region is removed, its "
    "absolute value or, signed, itself; others: without background and the class itself.\n"
)
"""What the columns of the texts mean."""


def rank_rois(scores: pd.DataFrame) -> pd.DataFrame:
    """Rank methods by how near their matrices are to the exact one, and by how they predict output drops.

    Parameters
    ----------
    scores : DataFrame
        With `COLUMNS` of `agg2exp_core.metrics.table`; only those of `roi_distance` and
        `roi_faithfulness` count.

    Returns
    -------
    DataFrame
        A row a method, in the order of its ranks: mean, ``_sd`` over scans and classes and ``rank_`` of
        ``distance`` (0 to 1) and of ``output_drop`` (a correlation), means of the variants of both, and
        how exact the reference was: the mean share of its mass that was solved exactly, and its largest
        relative standard error. Empty without such scores.
    """
    exact = scores["method"] == REFERENCE_METHOD[0]  # it has a row, but no rank
    scores = named(scores)
    distances = _of_metric(scores, RoiDistance.name)
    predictions = _of_metric(scores, RoiFaithfulness.name)
    table = pd.DataFrame(index=pd.Index(dict.fromkeys([*distances.index, *predictions.index]), name="method"))
    ranked = ~table.index.isin(scores.loc[exact, "method"])
    for name, rows, lower_is_better in (("distance", distances, True), ("output_drop", predictions, False)):
        values = rows["value"].groupby(level="method")
        table[name], table[f"{name}_sd"], table[f"n_{name}"] = values.mean(), values.std(), values.count()
        table[f"rank_{name}"] = table.loc[ranked, name].rank(ascending=lower_is_better, method="min")
    details = {
        "distance_of_others": distances.get("of_others"),
        **{variant: predictions.get(variant) for variant in DROP_VARIANTS},
        REFERENCE_DETAILS[0]: distances.get(REFERENCE_DETAILS[0]),
    }
    for name, found in details.items():
        table[name] = None if found is None else found.astype(float).groupby(level="method").mean()
    errors = distances.get(REFERENCE_DETAILS[1])
    largest = None if errors is None else errors.astype(float).groupby(level="method").max()
    table[REFERENCE_DETAILS[1]] = largest
    return table.sort_values(["rank_distance", "rank_output_drop"])


def _of_metric(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return value and details of a metric, a row a score, by method."""
    rows = scores[scores["metric"] == metric]
    details = pd.DataFrame(list(rows["details"].map(json.loads)), index=rows.index)
    return details.assign(value=rows["value"], method=rows["method"]).set_index("method")


def ranking_to_texts(table: pd.DataFrame) -> pd.DataFrame:
    """Return ranks, means and deviations, and the reference's exactness, as texts."""
    columns = {
        "rank by distance": table["rank_distance"].map(_rank),
        "distance ↓": _with_sd(table, "distance"),
        "others: distance ↓": table["distance_of_others"].map(_number),
        "reference: exact share": table[REFERENCE_DETAILS[0]].map(_number),
        "reference: relative s.e., at most": table[REFERENCE_DETAILS[1]].map(_number),
        "rank by output drop": table["rank_output_drop"].map(_rank),
        "output drop ↑": _with_sd(table, "output_drop"),
    }
    return _filled(pd.DataFrame(columns, index=table.index))


def variants_to_texts(table: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of each way to correlate matrix and output drops, as texts."""
    columns = {_heading(name): table[name].map(_number) for name in DROP_VARIANTS}
    return _filled(pd.DataFrame(columns, index=table.index))


def _filled(texts: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that say something."""
    return texts.loc[:, (texts != "").any()]


def _heading(variant: str) -> str:
    name = variant.removesuffix("_of_others")
    kind = name.removeprefix("signed_").capitalize()
    text = f"signed {kind}" if name.startswith("signed_") else kind
    return f"{text} ↑" if name == variant else f"others: {text} ↑"


def _with_sd(table: pd.DataFrame, name: str) -> pd.Series[str]:
    pairs = zip(table[name], table[f"{name}_sd"], strict=True)
    return pd.Series([mean_and_sd(mean, sd) for mean, sd in pairs], index=table.index)


def _number(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.3g}"


def _rank(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.0f}"
