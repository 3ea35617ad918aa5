"""How much of each class's attribution lies in the class itself, cohort by cohort (Fig. 6)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullLocator

from agg2exp_core.errors import UsageError
from agg2exp_core.figures.distributions import draw_boxes
from agg2exp_core.figures.style import COHORT_COLOURS, INK, class_ticks, percent_ticks, plain_axes, title_of

_LEAST = 1e-4


def context_figure(table: pd.DataFrame, *, column: str = "own", title: str) -> Figure:
    """Draw a box per class and cohort, the class with the largest median of the first cohort on top.

    Parameters
    ----------
    table : DataFrame
        `cohort`, `scan`, `class` and the share that `column` names, on a logarithmic axis (shares under
        1e-4 are drawn there).
    column : str
        ``own`` or ``own_without_background``.
    title : str

    Raises
    ------
    UsageError
        If the table holds no number.
    """
    known = table[table[column].notna()]
    if known.empty:
        raise UsageError(
            "context", got="no number", allowed="one class and scan or more", remedy="explain scans first"
        )
    cohorts = list(dict.fromkeys(known["cohort"]))
    medians = known[known["cohort"] == cohorts[0]].groupby("class")[column].median()
    names = [str(name) for name in medians.sort_values(ascending=False, kind="stable").index]
    per_class = 0.18 + 0.12 * len(cohorts)
    height = 1.9 + (per_class + 0.12) * len(names)
    figure = Figure(figsize=(8.6, height), facecolor="white")
    ax = figure.add_axes((0.22, 0.95 / height, 0.75, 1 - 1.75 / height))
    for n, cohort in enumerate(cohorts):
        of_cohort = known[known["cohort"] == cohort]
        columns = [
            np.maximum(of_cohort.loc[of_cohort["class"] == name, column].to_numpy(np.float64), _LEAST)
            for name in names
        ]
        places = np.arange(len(names)) + (n - (len(cohorts) - 1) / 2) * 0.8 / len(cohorts)
        draw_boxes(ax, columns, places, [COHORT_COLOURS[n]] * len(names), width=0.62 / len(cohorts))
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_minor_locator(NullLocator())
    percent_ticks(ax)
    class_ticks(ax, names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlabel("share of the class's attribution that lies in the class itself", fontsize=10, color=INK)
    plain_axes(ax)
    counts = known.groupby("cohort")["scan"].nunique()
    handles = [
        Patch(color=COHORT_COLOURS[n], label=f"{name}, {counts[name]} scans")
        for n, name in enumerate(cohorts)
    ]
    ax.legend(handles=handles, loc="lower right", fontsize=8, frameon=False)
    whole = "of all attribution" if column == "own" else "of what is not in background"
    title_of(
        figure,
        title,
        f"Shares {whole}; the rest is context. A dot is a scan. Logarithmic axis.",
    )
    return figure
