"""Table 1 as a plot: a panel a metric, a line a method."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from agg2exp_core.figures.canvas import GRID, INK, SUBDUED, title_of
from agg2exp_core.labels import readable

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
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
    title_of(
        figure,
        "Benchmark of attribution methods",
        "Mean and standard deviation over scans and classes; a red diamond: the best of the metric.",
    )
    return figure
