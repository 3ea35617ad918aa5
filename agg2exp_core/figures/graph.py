"""The semantic graph: which regions a model looks at for each class (Fig. 4, 14)."""

from __future__ import annotations

import textwrap

import networkx as nx
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyArrowPatch, Wedge
from matplotlib.path import Path
from numpy.typing import NDArray

from agg2exp_core.figures.contributions import circle_order, contribution_graph
from agg2exp_core.figures.style import INK, group_handles, text_colour, title_of
from agg2exp_core.labels import BACKGROUND, colour_of, readable

_WIDEST_POINTS = 7.5
_MANY = 22
_POINTS_PER_INCH = 3.6
"""Of labels, for a small circle."""
_Point = NDArray[np.float64]


def semantic_graph(matrix: xr.DataArray, *, top: int = 3, background: str = BACKGROUND, title: str) -> Figure:
    """Draw the strongest contributions to each class, background left out.

    An arrow runs from the region where attribution lies to the class that it explains, as wide as
    its share, in the colour of the class's group. The ring of a node is filled to, and the number
    in it is, the share that lies in the class itself. The layout depends on the matrix alone.

    Parameters
    ----------
    matrix : DataArray, dims (target, roi)
        Shares of attribution. NaN is missing.
    top : int
        Arrows into each class.
    background : str
        The class that is left out; rows are divided by what remains.
    title : str

    Raises
    ------
    UsageError
        If `matrix` has other axes, or no value at all.
    """
    graph = contribution_graph(matrix, top=top, background=background)
    reach = 1.6 if len(graph) > _MANY else 1.34
    inch = 3.05 * max(1.0, len(graph) / _MANY)  # of the circle's radius
    figure = Figure(figsize=((2 * reach + 0.92) * inch, 2 * reach * inch + 0.7), facecolor="white")
    ax = figure.add_axes((0.0, 0.35 / figure.get_figheight(), 1.0, 1 - 0.7 / figure.get_figheight()))
    draw_graph(ax, graph, inch)
    ax.set(xlim=(-reach - 0.22, reach + 0.7), ylim=(-reach, reach))
    _legends(figure, graph, _heaviest(graph))
    title_of(
        figure,
        title,
        f"Arrows: the {top} regions outside a class that explain it most, from region to class. "
        "Ring and number: share in the class itself. Shares without background.",
    )
    return figure


def draw_graph(ax: Axes, graph: nx.DiGraph[str], inch: float) -> None:
    """Draw a graph of contributions on a circle.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    graph : networkx.DiGraph
        As `contribution_graph` returns it.
    inch : float
        Of the circle's radius on paper.
    """
    order = circle_order(graph)
    angles = np.pi / 2 - 2 * np.pi * np.arange(len(order)) / max(len(order), 1)
    places = dict(zip(order, np.stack([np.cos(angles), np.sin(angles)], axis=1), strict=True))
    radius = min(0.1, 0.36 * np.pi / max(len(order), 1))
    heaviest, crowded = _heaviest(graph), len(order) > _MANY
    ax.set(xlim=(-1.45, 1.45), ylim=(-1.34, 1.34), aspect="equal")
    ax.axis("off")
    for source, target, weight in sorted(graph.edges.data("weight"), key=lambda edge: edge[2]):
        _draw_edge(ax, places[source], places[target], radius, colour_of(target), weight / heaviest)
    for name in order:
        _draw_node(ax, name, places[name], radius, graph.nodes[name]["own"], inch)
        _draw_label(ax, name, places[name], radius, crowded, inch)


def _heaviest(graph: nx.DiGraph[str]) -> float:
    return max((weight for _, _, weight in graph.edges.data("weight")), default=1.0)


def _draw_edge(ax: Axes, start: _Point, end: _Point, radius: float, colour: str, strength: float) -> None:
    """Draw a curve that bends to the centre and to its own left, so that a pair of arrows parts."""
    step = end - start
    length = float(np.hypot(*step))
    middle = (start + end) / 2 * (1 - 0.3 * min(length, 1.6)) + 0.16 * np.array([-step[1], step[0]])
    width = max(_WIDEST_POINTS * strength, 0.4)
    start = start + _towards(start, middle) * radius * 1.1
    end = end + _towards(end, middle) * radius * 1.16
    ax.add_patch(
        FancyArrowPatch(
            path=Path(np.stack([start, middle, end]), [Path.MOVETO, Path.CURVE3, Path.CURVE3]),
            arrowstyle="-|>,head_length=0.6,head_width=0.3",
            mutation_scale=8.0 + 1.5 * width,
            linewidth=width,
            color=colour,
            alpha=0.35 + 0.5 * strength,
            joinstyle="miter",
            zorder=1 + strength,
        )
    )


def _towards(start: _Point, end: _Point) -> _Point:
    step = end - start
    return np.asarray(step / max(float(np.hypot(*step)), 1e-9))


def _draw_node(ax: Axes, name: str, place: _Point, radius: float, own: float, inch: float) -> None:
    x, y = float(place[0]), float(place[1])
    colour = colour_of(name)
    ax.add_patch(Circle((x, y), radius * 1.08, facecolor="white", edgecolor="none", zorder=3))
    if np.isnan(own):
        ax.add_patch(Circle((x, y), radius, facecolor=colour, edgecolor="none", zorder=4))
    else:
        ax.add_patch(Circle((x, y), radius, facecolor=f"{colour}2b", edgecolor="none", zorder=4))
        ax.add_patch(
            Wedge((x, y), radius, 90 - 360 * own, 90, width=0.24 * radius, facecolor=colour, zorder=5)
        )
        ax.text(
            x,
            y,
            f"{100 * own:.0f}%",
            ha="center",
            va="center",
            fontsize=0.42 * 72 * inch * radius,
            fontweight="bold",
            color=INK,
            zorder=6,
        )


def _draw_label(ax: Axes, name: str, place: _Point, radius: float, crowded: bool, inch: float) -> None:
    x, y = (float(part) for part in place)
    outside = 1 + radius + 0.09 / inch
    angle = float(np.degrees(np.arctan2(y, x)))
    text, rotation, upright = textwrap.fill(readable(name), 16), 0.0, "center"
    if crowded:
        text, rotation = readable(name), angle + 180 if x < 0 else angle
    elif abs(y) > 0.8:
        upright = "bottom" if y > 0 else "top"
    ax.text(
        x * outside,
        y * outside,
        text,
        ha="center" if abs(x) < 0.06 and not crowded else ("right" if x < 0 else "left"),
        va=upright,
        rotation=rotation,
        rotation_mode="anchor",
        fontsize=9 if crowded else min(10.0, _POINTS_PER_INCH * inch),
        fontweight="bold",
        color=text_colour(name),
        zorder=7,
    )


def _legends(figure: Figure, graph: nx.DiGraph[str], heaviest: float) -> None:
    figure.legend(
        handles=group_handles(graph),
        title="group",
        loc="upper left",
        bbox_to_anchor=(0.845, 0.93),
        frameon=False,
        fontsize=9,
        alignment="left",
    )
    samples = [heaviest * part for part in (1.0, 0.5, 0.2)]
    handles = [
        Line2D([], [], color="#7b8794", linewidth=_WIDEST_POINTS * share / heaviest, label=f"{share:.0%}")
        for share in samples
    ]
    figure.legend(
        handles=handles,
        title="share of the row",
        loc="upper left",
        bbox_to_anchor=(0.845, 0.76),
        frameon=False,
        fontsize=9,
        alignment="left",
        labelspacing=0.8,
    )
