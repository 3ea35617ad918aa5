"""What is said below a table of scores: its uncertainty, its reference, the options behind it."""

from __future__ import annotations

import json
import operator
from collections.abc import Mapping
from typing import Any

import pandas as pd

from agg2exp_core.metrics.regions import REFERENCE_DETAILS, RoiDistance
from agg2exp_core.metrics.table import named


def options_note(scores: pd.DataFrame) -> str:
    """Return the options of each metric and the parameters of each method, a line each.

    A metric that was taken with several options has a line for each, which names its methods: such
    scores are not to be compared.

    Parameters
    ----------
    scores : DataFrame
        With `COLUMNS` of `agg2exp_core.metrics.table`.
    """
    scores = named(scores)
    lines = []
    for metric, rows in scores.groupby("metric", sort=False):
        recipes = rows.groupby("recipe", sort=False)["method"].unique()
        if len(recipes) > 1:
            lines.append(f"- {metric}: **taken with different options, which are not to be compared**")
        for recipe, methods in recipes.items():
            options = _text(json.loads(str(recipe)), without="metric")
            whose = f" ({', '.join(methods)})" if len(recipes) > 1 else ""
            lines += [f"- {metric}{whose}: {options}"] if options else []
    for method, parameters in scores.drop_duplicates("method").set_index("method")["parameters"].items():
        told = json.loads(parameters)
        if options := _text(told["params"] | {"seed": told["seed"]}):
            lines.append(f"- {method}: {options}")
    return "\n".join(["Options of metrics and methods:", "", *lines, ""])


def _text(options: Mapping[str, Any], without: str = "") -> str:
    return ", ".join(f"{k}={v}" for k, v in options.items() if v is not None and k != without)


def sampling_note(scores: pd.DataFrame) -> str:
    """Return how uncertain a score of one class and scan is that rests on samples; empty where none does."""
    found = scores.dropna(subset=["standard_error"]).groupby("metric", sort=False)["standard_error"]
    texts = [f"{name} {errors.mean():.2g}, at most {errors.max():.2g}" for name, errors in found]
    return f"Standard error of sampling, of one class and scan: {'; '.join(texts)}.\n" if texts else ""


def reference_note(scores: pd.DataFrame) -> str:
    """Return how exact the matrix was that `roi_distance` measures against; empty without that metric."""
    told = scores.loc[scores["metric"] == RoiDistance.name, "details"].map(json.loads)
    if told.empty:
        return ""
    shares, errors = (told.map(operator.itemgetter(name)).astype(float) for name in REFERENCE_DETAILS)
    return (
        f"roi_distance: of the reference method's mass {shares.mean():.3g} was solved exactly "
        f"(of one class and scan at least {shares.min():.3g}); "
        f"relative standard error at most {errors.max():.2g}.\n"
    )
