"""Do abnormal scans have poor segmentations? Score against Dice, for the means and class by class."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from agg2exp_core.figures.style import FAINT, INK, SUBDUED, plain_axes, text_colour, title_of
from agg2exp_core.labels import colour_of, readable

_N_COLUMNS = 6
_MEANS = "mean over classes"


def quality_figure(quality: pd.DataFrame, agreement: pd.DataFrame, *, title: str) -> Figure:
    """Draw score against Dice, a dot a scan: the means over classes first, then each class.

    Parameters
    ----------
    quality : DataFrame
        `scan`, `class`, `dice`, `score`.
    agreement : DataFrame
        `class`, `spearman`, `p_value`, `p_adjusted`: the order of the panels and what they are headed with.
    title : str
    """
    known = quality.dropna(subset=["dice", "score"])
    names = [name for name in agreement["class"] if name != _MEANS]
    n_rows = -(-(len(names) + 1) // _N_COLUMNS)
    n_columns = min(_N_COLUMNS, len(names) + 1)
    size = (2.1 * n_columns + 0.4, 2.05 * n_rows + 0.9)
    figure = Figure(figsize=size, facecolor="white", layout="constrained")
    engine = figure.get_layout_engine()
    engine.set(rect=(0, 0.3 / size[1], 1, 1 - 0.85 / size[1]), hspace=0.08)  # type: ignore[union-attr, call-arg]
    panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    told = {str(row["class"]): row for _, row in agreement.iterrows()}
    means = known.groupby("scan")[["score", "dice"]].mean()
    _scatter(panels[0], means, told[_MEANS], INK)
    panels[0].set_title(panels[0].get_title(), fontsize=8, fontweight="bold", color=INK)
    for panel, name in zip(panels[1:], names, strict=False):
        _scatter(panel, known[known["class"] == name], told[name], colour_of(name))
        panel.set_title(panel.get_title(), fontsize=8, color=text_colour(name))
    for panel in panels[len(names) + 1 :]:
        panel.axis("off")
    panels[0].set_xlabel("outlier score", fontsize=8, color=SUBDUED)
    panels[0].set_ylabel("Dice", fontsize=8, color=SUBDUED)
    title_of(
        figure,
        title,
        "Dice over outlier score, which grows with abnormality: a score that finds poor segmentations falls. "
        "Spearman's rho; * adjusted p under 0.05.",
    )
    return figure


def _scatter(ax: Axes, points: pd.DataFrame, told: pd.Series, colour: str) -> None:
    ax.scatter(points["score"], points["dice"], s=11, color=colour, alpha=0.75, linewidths=0)
    p_value = told["p_value"] if told["class"] == _MEANS else told["p_adjusted"]
    star = " *" if p_value < 0.05 else ""
    rho = "rho not known" if np.isnan(told["spearman"]) else f"rho = {told['spearman']:.2f}{star}"
    ax.set_title(f"{readable(told['class'])}\n{rho}")
    plain_axes(ax, "both")
    ax.tick_params(labelsize=6.5)
    ax.spines["left"].set(visible=True, color=FAINT)
    ax.locator_params(nbins=4)
