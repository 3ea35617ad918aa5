"""Table 1: a mean and standard deviation for each method and metric, over scans and classes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from agg2exp_core.metrics.registry import METRICS

COLUMNS = (
    "scan",
    "class",
    "label",
    "method",
    "parameters",
    "metric",
    "value",
    "standard_error",
    "direction",
    "recipe",
    "details",
)
"""Of the frame of all scores: one row a scan, class, method and metric."""

_ARROWS = {"higher": "↑", "lower": "↓"}


def summarise(scores: pd.DataFrame) -> pd.DataFrame:
    """Return mean, standard deviation and count over scans and classes.

    Parameters
    ----------
    scores : DataFrame
        With `COLUMNS`.

    Returns
    -------
    DataFrame
        Rows by (method, metric) with ``mean``, ``sd``, ``n``, ``direction`` and ``best``: whether no
        other method has a better mean. One that was run in several ways has a row for each label.
    """
    groups = named(scores).groupby(["method", "metric"], sort=False)
    table = pd.DataFrame(groups["value"].agg(mean="mean", sd="std", n="count"))
    table["direction"] = groups["direction"].first()
    signed = table["mean"].where(table["direction"] == "higher", -table["mean"])
    table["best"] = signed == signed.groupby(level="metric").transform("max")
    return table


def named(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the scores with the label as the method's name where a method was run in several ways."""
    n_labels = scores.groupby("method")["label"].transform("nunique")
    return scores.assign(method=scores["method"].where(n_labels == 1, scores["label"]))


def wide(summary: pd.DataFrame, *, mark: str = "**") -> pd.DataFrame:
    """Return the table as texts, a row a method and a column a metric, the best between marks."""
    metrics = _ordered(summary.index.get_level_values("metric"))
    directions = summary.groupby(level="metric")["direction"].first()
    methods = list(dict.fromkeys(summary.index.get_level_values("method")))

    def cell(method: str, metric: str) -> str:
        if (method, metric) not in summary.index:
            return ""
        row: Any = summary.xs((method, metric))
        text = mean_and_sd(row["mean"], row["sd"])
        return f"{mark}{text}{mark}" if row["best"] else text

    headings = [f"{name} {_ARROWS[directions[name]]}" for name in metrics]
    rows = [[cell(method, metric) for metric in metrics] for method in methods]
    return pd.DataFrame(rows, index=pd.Index(methods, name="method"), columns=headings)


def mean_and_sd(mean: float, sd: float) -> str:
    """Return both as a text; the mean alone where one score has no deviation, nothing where there is none."""
    if math.isnan(mean):
        return ""
    return f"{mean:.3g}" if math.isnan(sd) else f"{mean:.3g} ± {sd:.2g}"


def to_markdown(table: pd.DataFrame) -> str:
    """Return a table of texts as Markdown."""
    lines = [[table.index.name or "", *table.columns], ["---"] * (len(table.columns) + 1)]
    lines += [[str(method), *row] for method, row in zip(table.index, table.to_numpy().tolist(), strict=True)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def to_latex(table: pd.DataFrame) -> str:
    """Return a table of texts for LaTeX; what is marked between ``**`` is underlined, as in the paper."""
    lines = [[table.index.name or "", *table.columns]]
    lines += [[str(method), *row] for method, row in zip(table.index, table.to_numpy().tolist(), strict=True)]
    body = [_row(line) for line in lines]
    head = f"\\begin{{tabular}}{{l{'r' * len(table.columns)}}}"
    parts = [head, r"\toprule", body[0], r"\midrule", *body[1:], r"\bottomrule", r"\end{tabular}", ""]
    return "\n".join(parts)


_SYMBOLS: Mapping[str, str] = {"_": r"\_", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "±": r"$\pm$"}


def _row(cells: Sequence[str]) -> str:
    texts = []
    for cell in cells:
        text = cell.removeprefix("**").removesuffix("**")
        for symbol, command in _SYMBOLS.items():
            text = text.replace(symbol, command)
        texts.append(rf"\underline{{{text}}}" if cell.startswith("**") else text)
    return " & ".join(texts) + r" \\"


def scores_by_class(scores: pd.DataFrame) -> pd.DataFrame:
    """Return mean, standard deviation and count over scans for each class, method and metric."""
    tables = {name: summarise(rows) for name, rows in named(scores).groupby("class", sort=False)}
    return pd.concat(tables, names=["class"])


def classes_to_markdown(table: pd.DataFrame) -> str:
    """Return a table for each class, from what `scores_by_class` returns."""
    parts = table.groupby(level="class", sort=False)
    return "\n".join(f"## {name}\n\n{to_markdown(wide(part.droplevel('class')))}" for name, part in parts)


def _ordered(names: Iterable[str]) -> list[str]:
    """Return metrics as `METRICS` lists them, then users' own."""
    found = list(dict.fromkeys(names))
    return [*(name for name in METRICS if name in found), *(name for name in found if name not in METRICS)]
