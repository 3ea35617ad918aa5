"""Which classes are explained alike: hierarchical clustering of the rows of the global matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.cluster.hierarchy import cophenet, dendrogram, linkage
from scipy.spatial.distance import pdist

from agg2exp_core.analysis.statistics import TooFewError

LINKAGES = ("average", "complete", "single", "ward")


@dataclass(frozen=True, eq=False)
class Tree:
    """A clustering of classes.

    Parameters
    ----------
    names : tuple of str
        The classes.
    linkage : str
        How clusters are compared.
    merges : ndarray of float64, shape [n_classes - 1, 4]
        SciPy's linkage matrix: two clusters, their distance, the classes in both.
    cophenetic : mapping of str to float
        How well the tree of each linkage keeps the distances (a correlation).
    """

    names: tuple[str, ...]
    linkage: str
    merges: NDArray[np.float64]
    cophenetic: dict[str, float]

    def to_json(self) -> dict[str, object]:
        """Return the tree with the coordinates of its dendrogram, JSON-ready."""
        drawn = dendrogram(self.merges, labels=list(self.names), no_plot=True)
        return {
            "classes": list(self.names),
            "linkage": self.linkage,
            "merges": self.merges.tolist(),
            "cophenetic_correlation": self.cophenetic,
            "dendrogram": {
                "order": drawn["ivl"],
                "x": np.asarray(drawn["icoord"]).tolist(),
                "height": np.asarray(drawn["dcoord"]).tolist(),
            },
        }


def cluster_classes(matrix: xr.DataArray, linkage_name: str | None = None) -> Tree:
    """Cluster classes by their rows (Euclidean distance of square roots: Hellinger's, but for a constant).

    Parameters
    ----------
    matrix : DataArray with dimensions (target, roi)
        A global matrix of shares. Rows and columns without a number are left out.
    linkage_name : str, optional
        One of `LINKAGES`; by default the one with the largest cophenetic correlation.

    Raises
    ------
    UsageError
        If fewer than three classes have numbers.
    """
    known = matrix.dropna("target", how="all").dropna("roi", how="all")
    if known.sizes["target"] < 3:
        raise TooFewError(
            "clustering",
            got=f"{known.sizes['target']} classes with numbers",
            allowed="three or more",
            remedy="explain more classes",
        )
    roots = np.sqrt(np.nan_to_num(known.transpose("target", "roi").values))
    distances = pdist(roots)
    trees = {name: linkage(roots, name, optimal_ordering=True) for name in LINKAGES}
    kept = {name: float(cophenet(tree, distances)[0]) for name, tree in trees.items()}
    chosen = linkage_name or max(LINKAGES, key=kept.__getitem__)
    return Tree(tuple(str(name) for name in known["target"].values), chosen, trees[chosen], kept)
