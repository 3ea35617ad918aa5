"""How one class's attribution is spread over regions, scan by scan (Fig. 3, 13)."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from agg2exp_core.errors import UsageError
from agg2exp_core.figures.boxes import draw_boxes
from agg2exp_core.figures.canvas import INK, check_target, group_handles, plain_axes, text_colour, title_of
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

    Returns
    -------
    matplotlib.figure.Figure

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
        ax.xaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
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
    ax.set_yticks(places, [f"▸ {readable(name)}" if name == target else readable(name) for name in names])
    for label, name in zip(ax.get_yticklabels(), names, strict=True):
        label.set(color=text_colour(name), fontweight="bold", fontsize=8.5)
    ax.set_ylim(len(names) - 0.4, -0.6)
    plain_axes(ax)
