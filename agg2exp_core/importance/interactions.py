"""Which regions act together when a class is segmented: class by region by region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from agg2exp_core.labels import readable

AXES = ("target", "roi", "other")


def local_interactions(
    infos: Mapping[str, Mapping[str, Any]], class_names: Sequence[str], present: Sequence[str]
) -> xr.Dataset:
    """Return the interactions of the predicted regions of a scan, from what `shapley_semantic` told.

    Parameters
    ----------
    infos : mapping
        By explained class what the method said about it, with its ``interactions``.
    class_names : sequence of str
        All classes of the model: the players are their indices.
    present : sequence of str
        Those that the scan has.

    Returns
    -------
    Dataset, dims (target, roi, other)
        ``interaction`` and ``standard_error``, in the unit of the aggregated output: symmetric in roi and
        other; 0 for regions that meet in no window, NaN where one is absent and on the diagonal.
    """
    n_classes = len(class_names)
    found = np.zeros((2, len(infos), n_classes, n_classes))
    for row, info in enumerate(infos.values()):
        told = info["interactions"]
        for name, array in zip(("index", "standard_error"), found, strict=True):
            array[row, told["first"], told["second"]] = told[name]
            array[row, told["second"], told["first"]] = told[name]
    there = np.isin(class_names, present)
    found[:, :, ~(there & there[:, None]) | np.eye(n_classes, dtype=bool)] = np.nan
    coords = {"target": list(infos), "roi": list(class_names), "other": list(class_names)}
    return xr.Dataset({"interaction": (AXES, found[0]), "standard_error": (AXES, found[1])}, coords)


def global_interactions(scans: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Return mean, standard deviation and count over scans of interactions as shares.

    Parameters
    ----------
    scans : mapping
        By scan what `local_interactions` returns.

    Returns
    -------
    Dataset, dims (target, roi, other)
        ``mean``, ``sd`` and ``n`` of the interaction as a share of the summed absolute interactions of all
        pairs, of its class in the scan; scans in which the class or a region is absent do not count for it.
    """
    together = xr.concat([found["interaction"] for found in scans.values()], dim="scan", join="outer")
    size = abs(together).sum(("roi", "other")) / 2
    shares = together / size.where(size > 0)
    parts = {"mean": shares.mean("scan"), "sd": shares.std("scan", ddof=1), "n": shares.count("scan")}
    return xr.Dataset(parts)


def sentences(mean: xr.DataArray, target: str, n_most: int = 3) -> list[str]:
    """Say which pairs of regions act together most when a class is segmented.

    Parameters
    ----------
    mean : DataArray, dims (target, roi, other)
        As from `global_interactions`.
    target : str
        The class.
    n_most : int
        Sentences, at most.
    """
    names = [readable(str(name)) for name in mean["roi"].values]
    values = np.nan_to_num(mean.sel(target=target).values)
    pairs = [(j, i) for i in range(len(names)) for j in range(i) if values[i, j]]
    pairs.sort(key=lambda pair: -abs(values[pair]))
    told = []
    for pair in pairs[:n_most]:
        both = " and ".join(names[place] for place in pair)
        how = "stand in for each other" if values[pair] < 0 else "count for more together than apart"
        share = f"{values[pair]:+.0%} of all interaction"
        told.append(f"{both} {how} when {readable(target)} is segmented ({share})")
    return told
