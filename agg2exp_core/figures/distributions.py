"""How one class's attribution is spread over regions, scan by scan (Fig. 3, 13)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from agg2exp_core.errors import UsageError
from agg2exp_core.figures.style import (
    FAINT,
    INK,
    check_target,
    class_ticks,
    group_handles,
    percent_ticks,
    plain_axes,
    title_of,
)
from agg2exp_core.labels import colour_of, readable

_AXES = {
    "mass": "share of the class's attribution",
    "mass_without_background": "share of the class's attribution, background left out",
}


def distributions(
    local: xr.Dataset, target: str, *, variable: str = "mass_without_background", title: str
) -> Figure:
    """Draw a box per region, the largest median on top, coloured by group; every scan is a dot.

    Boxes span the quartiles, whiskers the values within 1.5 of their distance.

    Parameters
    ----------
    local : Dataset, dims (scan, target, roi)
        Local importance of a cohort. NaN is missing.
    target : str
        The explained class.
    variable : str
        One of the data set's; a share unless it carries ``attrs["units"]``.
    title : str

    Raises
    ------
    UsageError
        If `variable` or `target` is not in `local`, or no scan has the class.
    """
    values = check_target(local, target, variable)
    columns: dict[str, NDArray[np.float64]] = {
        str(name): numbers[~np.isnan(numbers)]
        for name, numbers in zip(
            values["roi"].values, np.asarray(values.values, dtype=np.float64).T, strict=True
        )
    }
    columns = {name: numbers for name, numbers in columns.items() if numbers.size}
    if not columns:
        raise UsageError(
            "target",
            got=f"{target!r}, absent from every scan",
            allowed="a class with voxels in at least one scan",
            remedy="pick another class",
        )
    names = sorted(columns, key=lambda name: (-float(np.median(columns[name])), name))

    height = 1.7 + 0.33 * len(names)
    figure = Figure(figsize=(8.6, height), facecolor="white")
    ax = figure.add_axes((0.22, 0.95 / height, 0.75, 1 - 1.5 / height))
    draw_row(ax, [columns[name] for name in names], names, target)
    if "units" not in values.attrs:
        percent_ticks(ax)
    what = values.attrs.get("long_name", _AXES.get(variable, readable(variable)))
    ax.set_xlabel(f"{what} ({readable(target)})", fontsize=10, color=INK)
    ax.legend(handles=group_handles(names), loc="lower right", fontsize=8, frameon=False)
    n_scans = max(numbers.size for numbers in columns.values())
    title_of(
        figure,
        title,
        f"{n_scans} scan{'s' * (n_scans != 1)}, a dot each; box: quartiles, line: median; ▸ the class itself",
    )
    return figure


def draw_row(ax: Axes, columns: list[NDArray[np.float64]], names: list[str], target: str) -> None:
    """Draw a box per region, from above, the class itself marked."""
    places = np.arange(len(names))
    draw_boxes(ax, columns, places, [colour_of(name) for name in names])
    class_ticks(ax, names, mark=target)
    ax.set_ylim(len(names) - 0.4, -0.6)
    plain_axes(ax)


def draw_boxes(
    ax: Axes,
    columns: Sequence[NDArray[np.float64]],
    places: NDArray[np.floating[Any] | np.integer[Any]],
    colours: Sequence[str],
    width: float = 0.62,
) -> None:
    """Draw level boxes: quartiles, median, whiskers within 1.5 of the quartiles' distance, dots.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    columns : sequence of ndarray of float64, shape [n_scans]
        The numbers of each box.
    places : ndarray of numbers, shape [n_boxes]
        Heights.
    colours : sequence of str
        As ``#rrggbb``.
    width : float
        Of a box.
    """
    boxes = ax.boxplot(
        list(columns),
        positions=places.tolist(),
        orientation="horizontal",
        widths=width,
        patch_artist=True,
        showfliers=False,
        medianprops={"color": INK, "linewidth": 1.6},
        whiskerprops={"color": FAINT},
        capprops={"color": FAINT},
        manage_ticks=False,
    )
    for box, colour in zip(boxes["boxes"], colours, strict=True):
        box.set(facecolor=f"{colour}55", edgecolor=colour)
    jitter = np.random.default_rng(0)
    for place, colour, numbers in zip(places, colours, columns, strict=True):
        height = place + jitter.uniform(-width / 3, width / 3, numbers.size)
        ax.scatter(numbers, height, s=9, color=colour, alpha=0.6, linewidths=0, zorder=3)
