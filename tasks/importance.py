"""Stage 3: reduce the stored attributions of one scan to the rows of its local matrix."""

from __future__ import annotations

import numpy as np
from prefect import task
from prefect.runtime import task_run

from agg2exp_core.errors import StoreError
from agg2exp_core.importance import RoiSet, RoiSums, local_importance_from_arrays
from agg2exp_core.labels import merged_for
from agg2exp_core.store import ScanStore, Unit, identity
from agg2exp_core.store.at_work import removing, writing
from agg2exp_core.volumes import load_rois
from tasks.dask_scheduler import given_scheduler
from tasks.resources import store_of
from tasks.retrying import RETRYING
from tasks.settings import without_path

ROWS_VERSION = 1
"""Raised when the meaning of the matrices changes, so that old rows are made anew."""


REGIONS = "regions"
"""What sums tell about the regions that they are over."""


def regions_identity(there: ScanStore, without: str | None = None) -> str:
    """Return what the regions of a scan are, as they will be without one of them."""
    rois = {name: checksum for name, checksum in there.roi_checksums().items() if name != without}
    return identity(version=ROWS_VERSION, prediction=there.prediction_identity(), rois=rois)


def sums_of(there: ScanStore, label: str) -> dict[str, Unit]:
    """Return the sums over the scan's regions as they are now, of classes without voxels."""
    regions, units = regions_identity(there), there.units(label)
    return {
        name: sums
        for name, sums in there.sums(label).items()
        if name not in units and sums.info[REGIONS] == regions
    }


def rows_identity(there: ScanStore, label: str) -> str:
    """Return what the rows of a scan depend on: its finished units or their sums, its regions."""
    return identity(
        units={name: [unit.identity, unit.checksum] for name, unit in there.units(label).items()},
        sums={name: [sums.identity, sums.checksum] for name, sums in sums_of(there, label).items()},
        regions=regions_identity(there),
    )


def regions_of(there: ScanStore) -> RoiSet:
    """Return all regions of a stored scan.

    Raises
    ------
    StoreError
        If the store holds no prediction of it.
    """
    prediction = there.prediction()
    if prediction is None:
        raise StoreError(
            there.scan_id,
            got="no prediction",
            allowed="a segmented scan",
            remedy="explain the scan first",
        )
    return RoiSet(
        labels=prediction.labels,
        class_names=prediction.class_names,
        merged=merged_for(prediction.class_names),
        extra=there.rois(),
    )


@task(name="regions", task_run_name="regions {scan_id}", **RETRYING)
def add_regions(store: str, scan_id: str, rois: str, roi_names: str | None) -> list[str]:
    """Lay extra regions beside a stored scan, on its grid; return their names.

    Raises
    ------
    ScanError
        If the regions of this scan cannot be used.
    """
    opened = store_of(store)
    there = opened.scan(scan_id)
    with without_path(scan_id):
        masks = load_rois(rois, there.image().grid, scan_id, roi_names)
    with writing(opened.root, scan_id):
        for name, mask in masks.items():
            there.write_roi(name, mask, "extra")
    return list(masks)


@task(name="drop region", task_run_name="drop region {name} of {scan_id}", **RETRYING)
def drop_region(store: str, scan_id: str, name: str) -> bool:
    """Remove an extra region of a scan and its columns; say whether the scan had it.

    Sums of attributions without voxels lose its column first: killed in between, a second run goes on.

    Raises
    ------
    StoreError
        If somebody is at work on the scan.
    """
    opened = store_of(store)
    there = opened.scan(scan_id)
    with removing(opened.root, scan_id) as free:
        if name not in there.rois():
            return False
        if not free:
            raise StoreError(
                scan_id, got="a scan at work", allowed="a scan that nobody explains", remedy="try again later"
            )
        column = regions_of(there).names.index(name)
        left = regions_identity(there, without=name)
        for label in opened.labels():
            for target, sums in sums_of(there, label).items():
                values = np.delete(there.read_sums(label, target), column, axis=1)
                info = {**sums.info, REGIONS: left}
                there.write_sums(label, target, values, identity=sums.identity, info=info)
        there.drop_roi(name)
        for label in opened.labels():
            if there.importance(label) is not None:
                write_rows(there, label)
        return True


def _run_name() -> str:
    given = task_run.parameters
    return f"importance {given['scan_id']} {given['label']}"


@task(name="importance", task_run_name=_run_name, **RETRYING)
def reduce_scan(store: str, scan_id: str, label: str) -> bool:
    """Write the local matrix of a scan unless it is there; say whether it was computed.

    Raises
    ------
    StoreError
        If the store holds no prediction of this scan.
    """
    opened = store_of(store)
    with writing(opened.root, scan_id):
        return write_rows(opened.scan(scan_id), label)


def write_rows(there: ScanStore, label: str) -> bool:
    """Write the local matrix of a scan unless it is there; say whether it was computed."""
    name = rows_identity(there, label)
    known = there.importance(label)
    if known is not None and known[1] == name:
        return False
    attributions = {unit: there.attribution(label, unit) for unit in there.units(label)}
    known = {unit: RoiSums(*there.read_sums(label, unit)) for unit in sums_of(there, label)}
    with given_scheduler():
        rows = local_importance_from_arrays(attributions, regions_of(there), known=known)
    there.write_importance(label, rows, name)
    return True
