"""Table 1: a mean and standard deviation for each method and metric, over scans and classes."""

from __future__ import annotations

import json
import operator
from collections.abc import Mapping, Sequence

import pandas as pd

from agg2exp_core.metrics.regions import YARDSTICK_DETAILS, RoiDistance
from agg2exp_core.metrics.registry import METRICS

COLUMNS = (
    "scan",
    "class",
    "label",
    "method",
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
    groups = _named(scores).groupby(["method", "metric"], sort=False)
    table = pd.DataFrame(groups["value"].agg(mean="mean", sd="std", n="count"))
    table["direction"] = groups["direction"].first()
    signed = table["mean"].where(table["direction"] == "higher", -table["mean"])
    table["best"] = signed == signed.groupby(level="metric").transform("max")
    return table


def _named(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the scores with the label as the method's name where a method was run in several ways."""
    n_labels = scores.groupby("method")["label"].transform("nunique")
    return scores.assign(method=scores["method"].where(n_labels == 1, scores["label"]))


def wide(summary: pd.DataFrame, *, bold: tuple[str, str] = ("**", "**"), pm: str = "±") -> pd.DataFrame:
    """Return the table as texts, a row a method and a column a metric, the best between `bold`."""
    metrics = [name for name in METRICS if name in summary.index.get_level_values("metric")]
    methods = list(dict.fromkeys(summary.index.get_level_values("method")))

    def cell(method: str, metric: str) -> str:
        if (method, metric) not in summary.index:
            return ""
        row = summary.xs((method, metric))
        text = f"{row['mean']:.3g} {pm} {row['sd']:.2g}" if row["n"] > 1 else f"{row['mean']:.3g}"
        return f"{bold[0]}{text}{bold[1]}" if row["best"] else text

    headings = [f"{name} {_ARROWS[METRICS[name].direction]}" for name in metrics]
    rows = [[cell(method, metric) for metric in metrics] for method in methods]
    return pd.DataFrame(rows, index=pd.Index(methods, name="method"), columns=headings)


def to_markdown(table: pd.DataFrame) -> str:
    """Return a table of texts as Markdown."""
    lines = [[table.index.name or "", *table.columns], ["---"] * (len(table.columns) + 1)]
    lines += [[str(method), *row] for method, row in zip(table.index, table.to_numpy().tolist(), strict=True)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def to_latex(summary: pd.DataFrame) -> str:
    """Return Table 1 for LaTeX, the best underlined as in the paper."""
    table = wide(summary, bold=(r"\underline{", "}"), pm=r"$\pm$")
    arrows: Mapping[str, str] = {"↑": r"$\uparrow$", "↓": r"$\downarrow$"}
    lines = [[table.index.name or "", *table.columns]]
    lines += [[str(method), *row] for method, row in zip(table.index, table.to_numpy().tolist(), strict=True)]
    body = [_row(line, arrows) for line in lines]
    head = f"\\begin{{tabular}}{{l{'r' * len(table.columns)}}}"
    parts = [head, r"\toprule", body[0], r"\midrule", *body[1:], r"\bottomrule", r"\end{tabular}", ""]
    return "\n".join(parts)


def _row(cells: Sequence[str], arrows: Mapping[str, str]) -> str:
    text = " & ".join(cells).replace("_", r"\_")
    for arrow, command in arrows.items():
        text = text.replace(arrow, command)
    return text + r" \\"


def yardstick_note(scores: pd.DataFrame) -> str:
    """Return how exact the matrix was that `roi_distance` measures against; empty without that metric."""
    told = scores.loc[scores["metric"] == RoiDistance.name, "details"].map(json.loads)
    if told.empty:
        return ""
    shares, errors = (told.map(operator.itemgetter(name)).astype(float) for name in YARDSTICK_DETAILS)
    return (
        f"roi_distance: of the yardstick's mass {shares.mean():.3g} was solved exactly "
        f"(of one class and scan at least {shares.min():.3g}); "
        f"relative standard error at most {errors.max():.2g}.\n"
    )


def by_class(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over scans for each class, method and metric."""
    table = _named(scores).pivot_table(
        index=["class", "method"], columns="metric", values="value", sort=False
    )
    return table[[name for name in METRICS if name in table.columns]]
