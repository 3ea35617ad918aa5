"""Which regions contribute most to each class: a directed graph, as data."""

from __future__ import annotations

from itertools import combinations

import networkx as nx
import numpy as np
import xarray as xr

from agg2exp_core.figures.style import check_matrix, region_kinds
from agg2exp_core.labels import BACKGROUND, GROUP_COLOURS, group_of


def contribution_graph(
    matrix: xr.DataArray, *, top: int = 3, background: str = BACKGROUND
) -> nx.DiGraph[str]:
    """Return the graph of the `top` contributions to each class.

    Background is left out as class and as region, and merged regions, which repeat their parts, as
    regions; rows are then divided by their sum over the model's own classes, so that extra regions, which
    overlap these, take nothing from them. A class's share in itself is no edge: it is the
    node attribute ``own`` (NaN for a node that is a region only, or whose class is missing there).

    Parameters
    ----------
    matrix : DataArray, dims (target, roi)
        Shares of attribution, not negative. NaN is missing.
    top : int
        Edges into each class at most; contributions of 0 are not drawn.
    background : str

    Returns
    -------
    networkx.DiGraph
        Edges run from region to class with the attribute ``weight``, the share in the row.

    Raises
    ------
    UsageError
        If `matrix` has other axes, or no value at all.
    """
    matrix = check_matrix(matrix)
    kind_of = region_kinds(matrix)
    regions = [name for name, kind in kind_of.items() if name != background and kind != "merged"]
    partition = [name for name in regions if kind_of[name] == "class"]
    classes = [str(name) for name in matrix["target"].values if name != background]
    graph: nx.DiGraph[str] = nx.DiGraph()
    for name in classes:
        row = matrix.sel(target=name, roi=regions)
        total = float(row.sel(roi=partition).sum())
        if not total:
            continue
        share = dict(zip(regions, np.asarray(row.values, dtype=np.float64) / total, strict=True))
        graph.add_node(name, own=share.get(name, np.nan))
        others = [region for region in regions if region != name and share[region] > 0]
        for region in sorted(others, key=lambda other: (-share[other], other))[:top]:
            graph.add_edge(region, name, weight=float(share[region]))
    for node in graph:
        graph.nodes[node].setdefault("own", np.nan)
    return graph


def circle_order(graph: nx.DiGraph[str]) -> list[str]:
    """Order nodes on a circle: groups together, and heavy edges short.

    Within the groups two nodes change places as long as that shortens the weighted sum of the
    squared chords. The same graph gives the same order.
    """
    groups = list(GROUP_COLOURS)
    order = sorted(graph, key=lambda name: (groups.index(group_of(name)), name))
    weights = nx.to_numpy_array(graph, nodelist=order)
    weights = weights + weights.T
    steps = np.arange(len(order))
    chord = np.sin(np.pi * (steps[:, None] - steps) / max(len(order), 1)) ** 2
    place = steps.copy()  # place[i] is where node i of `order` stands
    best, improved = float((weights * chord[np.ix_(place, place)]).sum()), True
    pairs = [(a, b) for a, b in combinations(steps, 2) if group_of(order[a]) == group_of(order[b])]
    while improved:
        improved = False
        for a, b in pairs:
            place[[a, b]] = place[[b, a]]
            cost = float((weights * chord[np.ix_(place, place)]).sum())
            if cost < best - 1e-12:
                best, improved = cost, True
            else:
                place[[a, b]] = place[[b, a]]
    return [order[i] for i in np.argsort(place)]
