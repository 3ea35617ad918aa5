"""The picture of `benchmarks.rooms`: rooms as boxes by layer, imports as arrows between them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from agg2exp_core.figures.style import COHORT_COLOURS, FAINT, INK, MISSING, SUBDUED

if TYPE_CHECKING:
    from benchmarks.rooms import House

WIDTH, PITCH, MARGIN = 11.4, 0.74, 0.2
"""Of the figure, between two layers, and around it, in inches."""
BOX, NARROW = (1.12, 0.44), 0.16
"""Width and height of a box, and the width that an arrow takes where it passes a layer."""
GAP = 0.1
"""Between boxes of a layer."""
HEAD = 0.3
"""Between the inner rooms and the others, beside the distance of two layers."""
N_SWEEPS = 40
"""Over the layers, to untangle the arrows."""

Place = dict[str, tuple[float, float]]
"""From a room to the middle of its box."""


def draw(house: House) -> Figure:
    """Return the picture of a house.

    The lowest layers, as long as they are single files, are one box without arrows: nearly every room imports
    them.
    """
    layers, ground = _split(house)
    drawn = [room for layer in layers for room in layer]
    arrows = nx.transitive_reduction(house.imports.subgraph(drawn))
    rows, paths = _with_passages(layers, arrows)
    place = _placed(rows, paths)
    inside = [room for room in drawn if room.startswith(f"{house.inner}.")]
    ceiling = max(place[room][1] for room in inside) + (PITCH + HEAD) / 2
    for room in set(drawn) - set(inside):
        x, y = place[room]
        place[room] = x, y + HEAD
    floor, roof = -1.15 * PITCH, max(y for _, y in place.values()) + PITCH
    height, wide = roof - floor + 2 * MARGIN, WIDTH - 2 * MARGIN
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_xlim(-MARGIN, WIDTH - MARGIN)
    ax.set_ylim(floor - MARGIN, roof + MARGIN)
    ax.set_axis_off()
    _box(ax, (wide / 2, (floor + ceiling) / 2), (wide, ceiling - floor), FAINT, "none")
    n_lines = sum(n for room, n in house.n_lines.items() if room.split(".")[0] == house.inner)
    _name(ax, (wide - 0.75, ceiling - 0.3), house.inner, f"{n_lines:,} lines")
    for path in paths:
        _arrow(ax, [place[node] for node in path])
    for room in drawn:
        _box(ax, place[room], BOX, COHORT_COLOURS[0] if room in house.with_engine else FAINT)
        _name(ax, place[room], _short(room), f"{house.n_lines[room]:,}")
    middle = wide / 2, floor + 0.4 * PITCH
    _box(ax, middle, (wide - 0.3, BOX[1]), FAINT)
    _name(
        ax, middle, "imported nearly everywhere", ", ".join(f"{_short(r)} {house.n_lines[r]}" for r in ground)
    )
    legend = [
        "A room imports only rooms of lower layers. Numbers are lines.",
        "Arrows: imports, without those that other arrows imply.",
        f"Blue: imports {house.engine.title()}.",
    ]
    ax.text(wide, roof, "\n".join(legend), ha="right", va="top", fontsize=9, linespacing=1.6, color=SUBDUED)
    return figure


def _short(room: str) -> str:
    return room.rpartition(".")[2]


def _split(house: House) -> tuple[list[list[str]], list[str]]:
    """Return the layers that are drawn one by one, and the rooms below them."""
    layers = [list(layer) for layer in house.layers]
    ground: list[str] = []
    while all(house.n_files[room] == 1 for room in layers[-1]):
        ground += layers.pop()
    known = {room for layer in layers for room in layer}.union(ground)
    return layers, ground + [
        room for room in house.n_files if house.imports.in_degree(room) and room not in known
    ]


def _with_passages(
    layers: Sequence[Sequence[str]], arrows: nx.DiGraph
) -> tuple[list[list[str]], list[list[str]]]:
    """Return the layers with a passage for each arrow that crosses them, and each arrow as its nodes."""
    row_of = {room: row for row, layer in enumerate(layers) for room in layer}
    rows = [list(layer) for layer in layers]
    paths = []
    for importer, imported in sorted(arrows.edges):
        between = range(row_of[importer] + 1, row_of[imported])
        passages = [f"{importer} > {imported} @ {row}" for row in between]
        for row, passage in zip(between, passages, strict=True):
            rows[row].append(passage)
        paths.append([importer, *passages, imported])
    return rows, paths


def _placed(rows: list[list[str]], paths: Sequence[Sequence[str]]) -> Place:
    """Return where each node lies: rows ordered and shifted towards what their nodes are joined to."""
    joined: dict[str, list[str]] = {node: [] for row in rows for node in row}
    for path in paths:
        for upper, lower in itertools.pairwise(path):
            joined[upper].append(lower)
            joined[lower].append(upper)
    middle = WIDTH / 2 - MARGIN
    x = dict.fromkeys(joined, middle)
    for sweep in range(N_SWEEPS):
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            wanted = {node: np.mean([x[other] for other in joined[node]] or [middle]) for node in row}
            row.sort(key=wanted.__getitem__)
            for node, at in zip(row, _apart(row, [wanted[node] for node in row]), strict=True):
                x[node] = at
    return {node: (x[node], PITCH * n) for n, row in enumerate(reversed(rows)) for node in row}


def _apart(row: Sequence[str], wanted: Sequence[float]) -> list[float]:
    """Return the positions nearest to those wanted at which the nodes of a row do not meet."""
    widths = [NARROW if "@" in node else BOX[0] + GAP for node in row]
    steps = [0.0, *((a + b) / 2 for a, b in itertools.pairwise(widths))]
    offsets = np.cumsum(steps)
    free = np.asarray(wanted) - offsets  # to be non-decreasing: then the nodes are apart
    blocks: list[list[float]] = []  # sum and count of positions that are one: pool adjacent violators
    for value in free:
        blocks.append([float(value), 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += count
    levelled = np.concatenate([np.full(int(count), total / count) for total, count in blocks])
    lowest, highest = widths[0] / 2, WIDTH - 2 * MARGIN - widths[-1] / 2
    levelled = np.clip(levelled, lowest, max(highest - offsets[-1], lowest))
    return list(levelled + offsets)


def _box(
    ax: Axes, middle: tuple[float, float], size: tuple[float, float], edge: str, face: str = MISSING
) -> None:
    (x, y), (width, height) = middle, size
    box = FancyBboxPatch(
        (x - width / 2, y - height / 2),
        width,
        height,
        boxstyle="round,pad=0,rounding_size=0.06",
        facecolor=face,
        edgecolor=edge,
        linewidth=1.3,
        zorder=0 if face == "none" else 3,
    )
    ax.add_patch(box)


def _name(ax: Axes, middle: tuple[float, float], name: str, note: str) -> None:
    x, y = middle
    ax.text(x, y + 0.08, name, ha="center", va="center", fontsize=10.5, color=INK, zorder=4)
    ax.text(x, y - 0.11, note, ha="center", va="center", fontsize=8.5, color=SUBDUED, zorder=4)


def _arrow(ax: Axes, nodes: Sequence[tuple[float, float]]) -> None:
    """Draw an arrow through the middles of nodes, straight down where it meets them."""
    half = BOX[1] / 2
    points, codes = [(nodes[0][0], nodes[0][1] - half)], [Path.MOVETO]
    for n, ((x0, y0), (x1, y1)) in enumerate(itertools.pairwise(nodes)):
        is_last = n == len(nodes) - 2
        start, end = y0 - half, y1 + half
        bend = (start + end) / 2
        points += [(x0, bend), (x1, bend), (x1, end)]
        codes += [Path.CURVE4] * 3
        if not is_last:  # through a passage
            points.append((x1, y1 - half))
            codes.append(Path.LINETO)
    arrow = FancyArrowPatch(
        path=Path(points, codes),
        arrowstyle="-|>,head_length=4,head_width=2",
        facecolor=SUBDUED,
        edgecolor=SUBDUED,
        linewidth=0.9,
        shrinkA=0,
        shrinkB=0,
        zorder=2,
    )
    ax.add_patch(arrow)
