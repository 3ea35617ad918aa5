"""Four views of one class: a scan, the cohort, its neighbours, the graph (Fig. 12)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from agg2exp_core.figures.contributions import contribution_graph
from agg2exp_core.figures.distributions import draw_row
from agg2exp_core.figures.graph import draw_graph
from agg2exp_core.figures.style import (
    INK,
    SUBDUED,
    check_target,
    class_ticks,
    percent_ticks,
    plain_axes,
    text_colour,
    title_of,
)
from agg2exp_core.labels import colour_of, readable

_N_NEIGHBOURS = 3
_N_BINS = 12
_GRAPH_INCH = 2.1


def four_panels(
    local: xr.Dataset,
    mean: xr.DataArray,
    target: str,
    *,
    scan: str,
    variable: str = "mass_without_background",
    title: str,
) -> Figure:
    """Draw how one class is explained, from one scan to the whole cohort.

    Parameters
    ----------
    local : Dataset, dims (scan, target, roi)
        Local importance of a cohort.
    mean : DataArray, dims (target, roi)
        The global matrix, of shares.
    target : str
        The class; its neighbours are the class itself and the regions with the largest medians.
    scan : str
        Whose row is the first panel.
    variable : str
        Of `local`.
    title : str

    Raises
    ------
    UsageError
        If the variable or the class is not there.
    """
    values = check_target(local, target, variable)
    values = values.isel(roi=np.flatnonzero(np.isfinite(values.values).any(axis=0)))
    medians = values.median("scan")
    ranked = sorted(map(str, values["roi"].values), key=lambda name: (-float(medians.sel(roi=name)), name))
    figure = Figure(figsize=(13.6, 10.6), facecolor="white")
    row = values.sel(scan=scan)
    _bars(figure.add_axes((0.12, 0.55, 0.33, 0.36)), row, ranked, f"one scan: {scan}")
    boxes = figure.add_axes((0.62, 0.55, 0.35, 0.36))
    columns = [values.sel(roi=name).dropna("scan").values for name in ranked]
    draw_row(boxes, columns, ranked, target)
    percent_ticks(boxes)
    _head(boxes, f"all {values.sizes['scan']} scans")
    others = [name for name in ranked if name != target and name in local["target"].values]
    near = [target, *others[: _N_NEIGHBOURS - 1]]
    _histograms(figure, local[variable], near)
    graph_axes = figure.add_axes((0.52, 0.04, 0.46, 0.45))
    draw_graph(graph_axes, contribution_graph(mean), _GRAPH_INCH)
    _head(graph_axes, "the three largest contributions to each class")
    title_of(
        figure,
        title,
        "Shares of the attribution without background. Lower left: rows are explained classes, "
        "columns where the attribution lies.",
    )
    return figure


def _bars(ax: Axes, row: xr.DataArray, names: Sequence[str], heading: str) -> None:
    ax.barh(
        range(len(names)),
        [float(row.sel(roi=name)) for name in names],
        0.7,
        color=list(map(colour_of, names)),
    )
    class_ticks(ax, names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    plain_axes(ax)
    percent_ticks(ax)
    _head(ax, heading)


def _histograms(figure: Figure, values: xr.DataArray, near: Sequence[str]) -> None:
    """Draw the distribution of each share among a class and its neighbours, a common scale a row."""
    n = len(near)
    for r, target in enumerate(near):
        shares = [values.sel(target=target, roi=roi).dropna("scan").values for roi in near]
        bins = np.linspace(0, max(float(part.max(initial=0)) for part in shares) or 1.0, _N_BINS + 1).tolist()
        for c, roi in enumerate(near):
            ax = figure.add_axes((0.085 + 0.37 * c / n, 0.09 + 0.36 * (n - 1 - r) / n, 0.31 / n, 0.24 / n))
            ax.hist(shares[c], bins=bins, color=colour_of(roi), alpha=0.9)
            plain_axes(ax)
            ax.tick_params(labelsize=7)
            ax.locator_params(axis="x", nbins=4)
            ax.locator_params(axis="y", nbins=3, integer=True)
            percent_ticks(ax)
            ax.set_title(
                f"in {readable(roi)}" if target != roi else "in itself", fontsize=7.5, color=text_colour(roi)
            )
            if c == 0:
                ax.set_ylabel(f"{readable(target)}\nscans", fontsize=7.5, color=SUBDUED)


def _head(ax: Axes, heading: str) -> None:
    ax.set_title(heading, loc="left", fontsize=10.5, fontweight="bold", color=INK)
