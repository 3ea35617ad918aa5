"""Scores as plots: attribution methods by metric (Table 1), models by Dice."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from agg2exp_core.figures.style import GRID, INK, SUBDUED, title_of
from agg2exp_core.labels import colour_of, readable

_WORDS = {"higher": "higher is better", "lower": "lower is better"}
_UNITS = {"efficiency": "seconds a class; "}
_BEST = "#DB4437"


def benchmark_figure(summary: pd.DataFrame) -> Figure:
    """Draw mean and standard deviation of each method; the best of each metric is a red diamond.

    Parameters
    ----------
    summary : DataFrame
        Rows by (method, metric) with ``mean``, ``sd``, ``direction`` and ``best``.
    """
    metrics = list(dict.fromkeys(summary.index.get_level_values("metric")))
    methods = list(dict.fromkeys(summary.index.get_level_values("method")))
    height = 1.7 + 0.42 * len(methods)
    figure = Figure(figsize=(2.6 + 2.1 * len(metrics), height), facecolor="white", layout="constrained")
    figure.get_layout_engine().set(rect=(0, 0.3 / height, 1, 1 - 0.8 / height))  # type: ignore[union-attr, call-arg]
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for panel, metric in zip(panels, metrics, strict=True):
        rows = summary.xs(metric, level="metric").reindex(methods)
        places = range(len(methods))
        best = rows["best"].eq(True).to_numpy()
        panel.errorbar(rows["mean"], places, xerr=rows["sd"].fillna(0), fmt="none", ecolor=SUBDUED, zorder=1)
        for chosen, colour, marker, size in ((best, _BEST, "D", 34), (~best, INK, "o", 26)):
            means = rows["mean"].to_numpy()[chosen]
            panel.scatter(means, np.flatnonzero(chosen), c=colour, marker=marker, s=size, zorder=2)
        panel.set_yticks(places, [readable(method) for method in methods], fontsize=9, color=INK)
        panel.set_ylim(len(methods) - 0.5, -0.5)
        panel.set_title(readable(metric), fontsize=10, color=INK)
        words = _UNITS.get(str(metric), "") + _WORDS[rows["direction"].dropna().iloc[0]]
        panel.set_xlabel(words, fontsize=8, color=SUBDUED)
        panel.tick_params(labelsize=8)
        panel.grid(axis="x", color=GRID)
        panel.spines[["top", "right"]].set_visible(False)
    title_of(
        figure,
        "Benchmark of attribution methods",
        "Mean and standard deviation over scans and classes; a red diamond: the best of the metric.",
    )
    return figure


def dice_figure(scores: pd.DataFrame) -> Figure:
    """Draw the Dice of each class and model: a dot per scan, a line at the mean.

    Parameters
    ----------
    scores : DataFrame
        Rows by ``model``, ``scan`` and ``class`` with ``dice``.
    """
    models, classes = list(scores["model"].unique()), list(scores["class"].unique())
    figure = Figure(figsize=(2.2 + 2.0 * len(models), 1.6 + 0.3 * len(classes)), layout="constrained")
    panels = figure.subplots(1, len(models), sharex=True, sharey=True, squeeze=False)[0]
    for panel, model in zip(panels, models, strict=True):
        for place, name in enumerate(classes):
            rows = scores[(scores["model"] == model) & (scores["class"] == name)]
            values = rows["dice"].dropna().to_numpy()
            if not len(values):
                continue
            spread = np.linspace(-0.2, 0.2, len(values)) if len(values) > 1 else np.zeros(1)
            panel.scatter(values, place + spread, s=8, color=colour_of(name), alpha=0.6, linewidth=0)
            panel.plot([values.mean()] * 2, [place - 0.35, place + 0.35], color=INK, linewidth=1.5)
        panel.set_title(readable(model), fontsize=9, color=INK)
        panel.set_xlabel("Dice", fontsize=8)
        panel.set_yticks(range(len(classes)), [readable(name) for name in classes], fontsize=8, color=INK)
        panel.set_ylim(len(classes) - 0.5, -0.5)
        panel.grid(axis="x", color="0.9")
        panel.spines[["top", "right"]].set_visible(False)
    title_of(figure, "Dice by class and model", "A dot per scan, a line at the mean.")
    return figure
