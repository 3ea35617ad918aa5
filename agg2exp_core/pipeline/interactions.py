"""Interactions of regions, of a scan and of a cohort, from what is stored with the attributions."""

from __future__ import annotations

import xarray as xr

from agg2exp_core.attribution import method_class
from agg2exp_core.errors import StoreError, UsageError
from agg2exp_core.importance.interactions import global_interactions, local_interactions
from agg2exp_core.store import Store

TOLD = "interactions"
"""Where the information of a unit holds them."""


def stored_interactions(store: Store, label: str) -> dict[str, xr.Dataset]:
    """Return the interactions of each scan that has them.

    Parameters
    ----------
    store : Store
        The store.
    label : str
        Results of a method whose players are the predicted classes.

    Returns
    -------
    dict
        By scan, as from `local_interactions`; empty where the method's players are others, or none.
    """
    if not _of_regions(store, label) or store.model is None:
        return {}
    names = [str(name) for name in store.model["class_names"]]
    found = {}
    for scan_id in store.scans():
        scan = store.scan(scan_id)
        infos = {n: u.info for n, u in {**scan.sums(label), **scan.units(label)}.items() if TOLD in u.info}
        matrix = scan.importance(label)
        if infos and matrix is not None:
            sizes = matrix[0]["n_voxels"]
            present = [str(name) for name in sizes["roi"].values if int(sizes.sel(roi=name)) > 0]
            ordered = {name: infos[name] for name in names if name in infos}
            found[scan_id] = local_interactions(ordered, names, present)
    return found


def cohort_interactions(store: Store, label: str) -> xr.Dataset:
    """Return mean, deviation and count over the scans of a store, as `global_interactions`.

    Raises
    ------
    StoreError
        If no scan has interactions.
    """
    scans = stored_interactions(store, label)
    if not scans:
        raise StoreError(
            label,
            got="no interactions",
            allowed="results of shapley_semantic",
            remedy="explain the scans by shapley_semantic; results of earlier releases have none",
        )
    return global_interactions(scans)


def _of_regions(store: Store, label: str) -> bool:
    known = store.labels().get(label)
    try:
        return known is not None and method_class(known.method).regions_play
    except UsageError:  # a user's module that is not importable here
        return False
