"""A cohort as compositions: each row of a scan's matrix says how one class's attribution is shared out.

What sums to 1 is compared by ratios of shares, not by differences.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from agg2exp_core.errors import UsageError

Shares = NDArray[np.float64]
"""Shares that sum to 1 over regions ``[n_scans, n_targets, n_rois]``; rows of absent classes are NaN."""
Rows = NDArray[np.float64]
"""The shares of one class ``[n_scans, n_rois]``."""
Coordinates = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From shares ``[..., n_rois]`` to coordinates ``[..., n_rois]``."""

FLOOR = 1e-3
"""Smallest share that is told from 0: what is below says how far apart regions are, not what matters."""


@dataclass(frozen=True, eq=False)
class Cohort:
    """Scans in the order of their ids, so that nothing depends on the order in which they came.

    Parameters
    ----------
    scans, targets, rois : tuple of str
        Scan ids, explained classes, and the regions that partition a scan.
    shares : ndarray of float64, shape [n_scans, n_targets, n_rois]
        Shares of the absolute attribution. A region that a scan does not have holds 0 of it.
    """

    scans: tuple[str, ...]
    targets: tuple[str, ...]
    rois: tuple[str, ...]
    shares: Shares

    def subset(self, scans: set[str]) -> Cohort:
        """Return the part of the cohort that is in `scans`."""
        kept = [n for n, scan in enumerate(self.scans) if scan in scans]
        return Cohort(tuple(self.scans[n] for n in kept), self.targets, self.rois, self.shares[kept])

    def mean(self) -> xr.DataArray:
        """Return the mean composition of each class (target, roi); NaN for one that no scan has."""
        shares = xr.DataArray(
            self.shares, {"target": list(self.targets), "roi": list(self.rois)}, ("scan", "target", "roi")
        )
        return shares.mean("scan")


def cohort_of(local: xr.Dataset, where: str = "the cohort") -> Cohort:
    """Return the rows of a cohort's matrices as compositions.

    Parameters
    ----------
    local : Dataset with dimensions (scan, target, roi)
        With `mass` and the coordinate `roi_kind`; merged and extra regions are left out.
    where : str
        What the cohort is called in messages.

    Raises
    ------
    UsageError
        If there is no scan, a scan comes twice, or the regions do not partition the scans.
    """
    scans = [str(name) for name in local["scan"].values]
    if not scans or len(set(scans)) < len(scans):
        twice = sorted({name for name in scans if scans.count(name) > 1})
        raise UsageError(
            where,
            got=f"the scan {twice[0]} more than once" if twice else "no scan",
            allowed="one or more scans, each once",
            remedy="explain scans first, and give each its own id",
        )
    classes = np.array([kind == "class" for kind in local["roi_kind"].values])
    if not classes.any():
        raise UsageError(
            where,
            got="regions of which none is a class",
            allowed="matrices over the model's own classes, which partition a scan",
            remedy="reduce the attributions over a prediction",
        )
    mass = local["mass"].transpose("scan", "target", "roi").values[:, :, classes].astype(np.float64)
    # NaN for a region that a scan lacks is a share of 0; a row of NaN alone is a class that it lacks
    absent = np.isnan(mass).all(axis=2, keepdims=True)
    shares = np.where(absent, np.nan, np.nan_to_num(mass))
    order = np.argsort(scans)
    with np.errstate(invalid="ignore"):
        shares = shares[order] / shares[order].sum(axis=2, keepdims=True)
    return Cohort(
        tuple(scans[n] for n in order),
        tuple(str(name) for name in local["target"].values),
        tuple(str(name) for name in local["roi"].values[classes]),
        shares,
    )


def check_alike(first: Cohort, second: Cohort) -> None:
    """Refuse two cohorts whose matrices are of other classes.

    Raises
    ------
    UsageError
        If classes or regions differ.
    """
    for mine, theirs in ((first.targets, second.targets), (first.rois, second.rois)):
        if mine != theirs:
            odd = sorted(set(mine) ^ set(theirs)) or ["another order"]
            raise UsageError(
                "--reference",
                got=f"other classes than the store has: {', '.join(odd)}",
                allowed="a store of a model with the same classes in the same order",
                remedy="explain the reference scans with the model of the store",
            )


def replace_zeros(shares: NDArray[np.float64], floor: float = FLOOR) -> NDArray[np.float64]:
    """Return compositions ``[..., n_rois]`` without zeros: each share at least `floor`, then closed to 1."""
    raised = np.maximum(shares, floor)
    closed: NDArray[np.float64] = raised / raised.sum(axis=-1, keepdims=True)
    return closed


def log_ratios(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return centred log-ratios ``[..., n_rois]``: each logarithm less the mean one (Aitchison).

    They sum to 0; their Euclidean distance does not change when all shares of one region are scaled.
    """
    logs = np.log(replace_zeros(shares))
    centred: NDArray[np.float64] = logs - logs.mean(axis=-1, keepdims=True)
    return centred


def square_roots(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return square roots ``[..., n_rois]``, whose Euclidean distance is Hellinger's; zeros stay zeros."""
    roots: NDArray[np.float64] = np.sqrt(shares)
    return roots
