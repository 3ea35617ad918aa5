"""Models on the same scans: the paper's Table 3, and tests of whether they differ.

The paper compares models by a one-way ANOVA, which takes their scores for those of different scans. The
scans are the same for each, so the repeated-measures tests beside it are the ones to believe.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import f, f_oneway, friedmanchisquare, wilcoxon

from agg2exp_core.errors import UsageError

COLUMNS: dict[str, tuple[str, ...]] = {
    "A": ("aorta",),
    "LL": ("lung_upper_lobe_left", "lung_lower_lobe_left"),
    "RL": ("lung_upper_lobe_right", "lung_middle_lobe_right", "lung_lower_lobe_right"),
    "T": ("trachea",),
    "H": ("heart",),
    "PV": ("pulmonary_vein",),
    "TG": ("thyroid_gland",),
    "R": ("ribs",),
    "V": ("vertebraes",),
    "AU": ("autochthon_left", "autochthon_right"),
    "S": ("sternum",),
    "CC": ("costal_cartilages",),
}
"""Columns of Table 3; where they have several parts, the mean of theirs."""
MEASURES = ("dice", "iou", "surface_dice")
_ROUNDING = 1e-12
"""A smaller share of the variance is that of equal models."""


def table_3(scores: pd.DataFrame) -> pd.DataFrame:
    """Return a row per model: Dice of each column of the paper, and the means over structures.

    Parameters
    ----------
    scores : DataFrame
        Rows by ``model``, ``scan`` and ``class`` (without background) with ``dice``, ``iou`` and
        ``surface_dice``, NaN where a class is neither predicted nor there.

    Returns
    -------
    DataFrame
        `COLUMNS`, then ``mDSC``, ``mIoU`` and ``mSD``: the mean over classes, then over scans. The paper's
        mDSC is none of the means that its columns allow.
    """
    dice = scores.pivot_table(index="model", columns="class", values="dice", sort=False)
    table = pd.DataFrame(
        {
            short: dice[[part for part in parts if part in dice]].mean(axis=1)
            for short, parts in COLUMNS.items()
            if set(parts) & set(dice.columns)
        }
    )
    for name, measure in zip(("mDSC", "mIoU", "mSD"), MEASURES, strict=True):
        table[name] = scores_by_scan(scores, measure).mean().reindex(table.index)
    return table


def scores_by_scan(scores: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Return the mean over classes: a row per scan, a column per model."""
    return scores.pivot_table(index="scan", columns="model", values=measure, sort=False)


def significance_tests(scores: pd.DataFrame, measure: str = "dice") -> pd.DataFrame:
    """Test whether models differ in their mean score of a scan.

    Returns
    -------
    DataFrame
        Rows with ``test``, ``models``, ``difference``, ``statistic``, ``p`` and ``p_holm``: the one-way
        ANOVA of the paper, a repeated-measures ANOVA and Friedman's test of three models or more; then
        Wilcoxon's signed-rank test of each pair, with the mean difference, its p adjusted by Holm's method
        over the pairs.

    Raises
    ------
    UsageError
        If fewer than two scans have scores of every model.
    """
    values = scores_by_scan(scores, measure).dropna()
    if len(values) < 2:
        raise UsageError(
            "scans",
            got=f"{len(values)} with scores of every model",
            allowed="two or more; ten or more for tests that can tell five models apart",
            remedy="compare on more scans",
        )
    rows: list[dict[str, object]] = []

    def add(test: str, models: str, statistic: float, p: float, difference: float = np.nan) -> None:
        found = {"difference": difference, "statistic": float(statistic), "p": float(p)}
        rows.append({"test": test, "models": models, **found})

    columns = [values[name].to_numpy(float) for name in values]
    add("one-way ANOVA (paper)", "all", *f_oneway(*columns))
    add("repeated-measures ANOVA", "all", *repeated_measures(values.to_numpy(float)))
    if len(columns) > 2:
        add("Friedman", "all", *friedmanchisquare(*columns))
    for first, second in combinations(values, 2):
        gap = values[first] - values[second]
        statistic, p = wilcoxon(gap) if gap.any() else (0.0, 1.0)
        add("Wilcoxon", f"{first} - {second}", statistic, p, float(gap.mean()))
    table = pd.DataFrame(rows)
    pairs = table["test"] == "Wilcoxon"
    table["p_holm"] = np.nan
    table.loc[pairs, "p_holm"] = holm(table.loc[pairs, "p"])
    return table


def repeated_measures(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return F and p of the one-factor repeated-measures ANOVA of values ``(scan, model)``.

    Its degrees of freedom are multiplied by Greenhouse and Geisser's epsilon, since the scores of two models
    may go together more closely than those of two others.
    """
    n_scans, n_models = values.shape
    mean = values.mean()
    between_models = n_scans * ((values.mean(axis=0) - mean) ** 2).sum()
    between_scans = n_models * ((values.mean(axis=1) - mean) ** 2).sum()
    total = ((values - mean) ** 2).sum()
    rest = total - between_models - between_scans
    n_rest = (n_scans - 1) * (n_models - 1)
    if between_models <= _ROUNDING * total:
        return 0.0, 1.0
    with np.errstate(divide="ignore"):
        statistic = (between_models / (n_models - 1)) / (np.float64(rest) / n_rest)
    epsilon = sphericity(values)
    return float(statistic), float(f.sf(statistic, epsilon * (n_models - 1), epsilon * n_rest))


def sphericity(values: NDArray[np.float64]) -> float:
    """Return Greenhouse and Geisser's epsilon of values ``(scan, model)``: 1 where sphericity holds."""
    covariance = np.atleast_2d(np.cov(values, rowvar=False))  # [model, model]
    centred = covariance - covariance.mean(axis=0) - covariance.mean(axis=1)[:, None] + covariance.mean()
    squares = (centred**2).sum()
    if squares <= (_ROUNDING * np.trace(covariance)) ** 2:
        return 1.0
    return float(np.trace(centred) ** 2 / ((len(covariance) - 1) * squares))


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return p-values adjusted by Holm's step-down method."""
    p = np.asarray(p_values, float)
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


def table3_markdown(table: pd.DataFrame, found: pd.DataFrame) -> str:
    """Return Table 3 and the mean differences of the tests, in percent, as Markdown."""
    lines = ["| model | " + " | ".join(table.columns) + " |", "|---" * (len(table.columns) + 1) + "|"]
    lines += [f"| {name} | " + " | ".join(cells) + " |" for name, cells in _cells(table, "**", "**")]
    lines += ["", "| test | models | difference | statistic | p | p (Holm) |", "|---|---|---|---|---|---|"]
    for test in found.to_dict("records"):
        apart = f"{100 * test['difference']:+.2f}" if pd.notna(test["difference"]) else ""
        adjusted = f"{test['p_holm']:.3g}" if pd.notna(test["p_holm"]) else ""
        numbers = f"{test['statistic']:.4g} | {test['p']:.3g}"
        lines.append(f"| {test['test']} | {test['models']} | {apart} | {numbers} | {adjusted} |")
    return "\n".join(lines) + "\n"


def table3_latex(table: pd.DataFrame) -> str:
    """Return Table 3, in percent, for LaTeX, the best of each column underlined."""
    lines = [f"\\begin{{tabular}}{{l{'r' * len(table.columns)}}}", r"\toprule"]
    lines += [" & ".join(["model", *table.columns]) + r" \\", r"\midrule"]
    for name, cells in _cells(table, r"\underline{", "}"):
        lines.append(" & ".join([name.replace("_", r"\_"), *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _cells(table: pd.DataFrame, before: str, after: str) -> Iterator[tuple[str, list[str]]]:
    """Give each model with its numbers in percent, the best of each column marked."""
    values = table.to_numpy(float)
    best = values == np.nanmax(values, axis=0)
    for name, row, marks in zip(table.index, 100 * values, best, strict=True):
        yield (
            str(name),
            [f"{before}{v:.2f}{after}" if mark else f"{v:.2f}" for v, mark in zip(row, marks, strict=True)],
        )
