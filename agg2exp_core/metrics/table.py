"""Table 1: a mean and standard deviation for each method and metric, over scans and classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

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
        Rows by (label, metric) with ``mean``, ``sd``, ``n``, ``direction`` and ``best``: whether no
        other label has a better mean.
    """
    groups = scores.groupby(["label", "metric"], sort=False)
    table = pd.DataFrame(groups["value"].agg(mean="mean", sd="std", n="count"))
    table["direction"] = groups["direction"].first()
    signed = table["mean"].where(table["direction"] == "higher", -table["mean"])
    table["best"] = signed == signed.groupby(level="metric").transform("max")
    return table


def wide(summary: pd.DataFrame, *, bold: tuple[str, str] = ("**", "**"), pm: str = "±") -> pd.DataFrame:
    """Return the table as texts, a row a label and a column a metric, the best between `bold`."""
    metrics = [name for name in METRICS if name in summary.index.get_level_values("metric")]
    labels = list(dict.fromkeys(summary.index.get_level_values("label")))

    def cell(label: str, metric: str) -> str:
        if (label, metric) not in summary.index:
            return ""
        row = summary.xs((label, metric))
        text = f"{row['mean']:.3g} {pm} {row['sd']:.2g}" if row["n"] > 1 else f"{row['mean']:.3g}"
        return f"{bold[0]}{text}{bold[1]}" if row["best"] else text

    headings = [f"{name} {_ARROWS[METRICS[name].direction]}" for name in metrics]
    rows = [[cell(label, metric) for metric in metrics] for label in labels]
    return pd.DataFrame(rows, index=pd.Index(labels, name="method"), columns=headings)


def to_markdown(table: pd.DataFrame) -> str:
    """Return a table of texts as Markdown."""
    lines = [[table.index.name or "", *table.columns], ["---"] * (len(table.columns) + 1)]
    lines += [[str(label), *row] for label, row in zip(table.index, table.to_numpy().tolist(), strict=True)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def to_latex(summary: pd.DataFrame) -> str:
    """Return Table 1 for LaTeX, the best underlined as in the paper."""
    table = wide(summary, bold=(r"\underline{", "}"), pm=r"$\pm$")
    arrows: Mapping[str, str] = {"↑": r"$\uparrow$", "↓": r"$\downarrow$"}
    lines = [[table.index.name or "", *table.columns]]
    lines += [[str(label), *row] for label, row in zip(table.index, table.to_numpy().tolist(), strict=True)]
    body = [_row(line, arrows) for line in lines]
    head = f"\\begin{{tabular}}{{l{'r' * len(table.columns)}}}"
    parts = [head, r"\toprule", body[0], r"\midrule", *body[1:], r"\bottomrule", r"\end{tabular}", ""]
    return "\n".join(parts)


def _row(cells: Sequence[str], arrows: Mapping[str, str]) -> str:
    text = " & ".join(cells).replace("_", r"\_")
    for arrow, command in arrows.items():
        text = text.replace(arrow, command)
    return text + r" \\"


def by_class(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over scans for each class, label and metric."""
    table = scores.pivot_table(index=["class", "label"], columns="metric", values="value", sort=False)
    return table[[name for name in METRICS if name in table.columns]]
