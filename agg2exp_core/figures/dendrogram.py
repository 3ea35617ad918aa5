"""Which classes are explained alike, as a tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from agg2exp_core.figures.style import INK, SUBDUED, class_ticks, plain_axes, title_of

_LEAF = 10.0
"""SciPy's distance between two leaves; the first stands at half of it."""


def dendrogram_figure(clusters: Mapping[str, Any], *, title: str) -> Figure:
    """Draw a clustering of classes, the leaves on the left.

    Parameters
    ----------
    clusters : mapping
        `linkage`, `cophenetic_correlation` and `dendrogram` with `order`, `x`, `height`, as they are stored.
    title : str
    """
    tree = clusters["dendrogram"]
    names = tree["order"]
    height = 1.6 + 0.3 * len(names)
    figure = Figure(figsize=(8.0, height), facecolor="white")
    ax = figure.add_axes((0.27, 0.85 / height, 0.69, 1 - 1.5 / height))
    lines = np.stack([np.array(tree["height"]), np.array(tree["x"])], axis=-1)  # [n_merges, 4, 2]
    ax.add_collection(LineCollection(list(lines), colors=SUBDUED, linewidths=1.5))
    class_ticks(ax, names, _LEAF * (np.arange(len(names)) + 0.5))
    ax.set_ylim(_LEAF * len(names), 0)
    ax.set_xlim(0, 1.05 * float(lines[..., 0].max()))
    ax.set_xlabel("distance of the rows (Euclidean, of square roots of shares)", fontsize=9, color=INK)
    plain_axes(ax)
    kept = clusters["cophenetic_correlation"][clusters["linkage"]]
    title_of(
        figure,
        title,
        f"Classes whose attribution lies alike join early. {clusters['linkage'].capitalize()} linkage, "
        f"cophenetic correlation {kept:.2f}.",
    )
    return figure
