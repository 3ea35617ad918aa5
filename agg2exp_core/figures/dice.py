"""Dice of models on the same scans."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from agg2exp_core.figures.canvas import INK, title_of
from agg2exp_core.labels import colour_of, readable


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
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
    title_of(figure, "Dice by class and model", "A dot per scan, a line at the mean.")
    return figure
