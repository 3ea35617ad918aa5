"""Boxes with a dot for each scan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from agg2exp_core.figures.canvas import FAINT, INK


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
