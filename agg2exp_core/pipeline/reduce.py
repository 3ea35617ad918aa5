"""From stored attributions to the rows of one scan's local matrix, and to the matrices of the cohort."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from agg2exp_core.errors import StoreError
from agg2exp_core.importance import RoiSet, RoiSums, local_importance_from_arrays
from agg2exp_core.labels import merged_for
from agg2exp_core.pipeline.cache import store_of
from agg2exp_core.pipeline.cohort import bring_up_to_date
from agg2exp_core.pipeline.dask_scheduler import given_scheduler
from agg2exp_core.pipeline.outcomes import RunSummary, ScanOutcome, reason_of, without_path
from agg2exp_core.pipeline.settings import ReduceSettings
from agg2exp_core.release import code_version
from agg2exp_core.store import MADE_BY, ScanStore, Store, Unit, identity
from agg2exp_core.store.locks import reducing, removing, writing
from agg2exp_core.store.marks import forget
from agg2exp_core.volumes import load_rois

ROWS_VERSION = 1
"""Raised when the meaning of the matrices changes, so that old rows are made anew."""

REGIONS = "regions"
"""What sums tell about the regions that they are over."""

NO_VOXELS = (
    "got sums over other regions and no voxels, allowed: stored voxels; "
    "explain the scan again with these regions, with --restore-voxels where retention dropped them"
)


def regions_identity(scan_store: ScanStore, without: str | None = None) -> str:
    """Return what the regions of a scan are, as they will be without one of them."""
    rois = {name: checksum for name, checksum in scan_store.roi_checksums().items() if name != without}
    return identity(version=ROWS_VERSION, prediction=scan_store.prediction_identity(), rois=rois)


def sums_of(scan_store: ScanStore, label: str) -> dict[str, Unit]:
    """Return the sums over the scan's regions as they are now, of classes without voxels."""
    regions, units = regions_identity(scan_store), scan_store.units(label)
    return {
        name: sums
        for name, sums in scan_store.sums(label).items()
        if name not in units and sums.info[REGIONS] == regions
    }


def rows_identity(scan_store: ScanStore, label: str) -> str:
    """Return what the rows of a scan depend on: its finished units or their sums, its regions."""
    return identity(
        units={name: [unit.identity, unit.checksum] for name, unit in scan_store.units(label).items()},
        sums={name: [sums.identity, sums.checksum] for name, sums in sums_of(scan_store, label).items()},
        regions=regions_identity(scan_store),
    )


def regions_of(scan_store: ScanStore) -> RoiSet:
    """Return all regions of a stored scan, to be read in parts.

    Raises
    ------
    StoreError
        If the store holds no prediction of it.
    """
    found = scan_store.label_map()
    if found is None:
        raise StoreError(
            scan_store.scan_id,
            got="no prediction",
            allowed="a segmented scan",
            remedy="explain the scan first",
        )
    labels, class_names = found
    return RoiSet(labels, class_names, merged_for(class_names), extra=scan_store.rois())


def add_regions(store: str, scan_id: str, rois: str, roi_names: str | None) -> list[str]:
    """Lay extra regions beside a stored scan, on its grid; return their names.

    Raises
    ------
    ScanError
        If the regions of this scan cannot be used.
    """
    opened = store_of(store)
    scan_store = opened.scan(scan_id)
    with without_path(scan_id):
        masks = load_rois(rois, scan_store.image().grid, scan_id, roi_names)
    with writing(opened.root, scan_id):
        before = scan_store.roi_checksums()
        for name, mask in masks.items():
            scan_store.write_roi(name, mask, "extra")
        if scan_store.roi_checksums() != before:
            forget(opened.root, scan_id)  # rows and sums of every label depend on the regions
    return list(masks)


def drop_region(store: str, scan_id: str, name: str) -> bool:
    """Remove an extra region of a scan and its columns; say whether the scan had it.

    Sums of attributions without voxels lose its column first: killed in between, a second run goes on.

    Raises
    ------
    StoreError
        If somebody is at work on the scan.
    """
    opened = store_of(store)
    scan_store = opened.scan(scan_id)
    with removing(opened.root, scan_id) as free:
        if name not in scan_store.rois():
            return False
        if not free:
            raise StoreError(
                scan_id, got="a scan at work", allowed="a scan that nobody explains", remedy="try again later"
            )
        column = regions_of(scan_store).names.index(name)
        left = regions_identity(scan_store, without=name)
        for label in opened.labels():
            for target, sums in sums_of(scan_store, label).items():
                values = np.delete(scan_store.read_sums(label, target), column, axis=1)
                info = {**sums.info, REGIONS: left}
                scan_store.write_sums(label, target, values, identity=sums.identity, info=info)
        scan_store.drop_roi(name)
        forget(opened.root, scan_id)
        for label in opened.labels():
            if scan_store.importance(label) is not None:
                write_rows(scan_store, label)
        return True


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


def write_rows(scan_store: ScanStore, label: str) -> bool:
    """Write the local matrix of a scan unless it is there; say whether it was computed."""
    name = rows_identity(scan_store, label)
    if scan_store.has_rows(label, name):
        return False
    attributions = {unit: scan_store.attribution(label, unit) for unit in scan_store.units(label)}
    known = {unit: RoiSums(*scan_store.read_sums(label, unit)) for unit in sums_of(scan_store, label)}
    with given_scheduler():
        rows = local_importance_from_arrays(attributions, regions_of(scan_store), known=known)
    scan_store.write_importance(label, rows.assign_attrs({MADE_BY: code_version()}), name)
    Store(scan_store.root).note_version(label)
    return True


def reduce_cohort(store: str, label: str) -> int:
    """Bring ``importance.zarr`` of a label up to date with the rows of all scans; return their number.

    One listing tells what is new, changed or gone. Whoever reads meanwhile sees the matrices as they were.

    Raises
    ------
    UsageError
        If a region has another kind than in other scans.
    StoreError
        If another run has been reducing for long.
    """
    opened = store_of(store)
    with reducing(opened.root):
        opened.adopt_earlier_rows()
        stored = {name.removesuffix(".zarr") for name in opened.root.children("scans")}
        known = {scan: names for scan, names in opened.rows(label).known().items() if scan in stored}
        wanted = {scan: _current(opened.scan(scan), label, names) for scan, names in known.items()}
        if wanted:
            with given_scheduler():
                bring_up_to_date(opened, label, wanted)
    return len(wanted)


def _current(scan_store: ScanStore, label: str, names: Sequence[str]) -> str:
    """Return which of a scan's rows count: where a writer left several behind, those of what is stored."""
    if len(names) == 1:
        return names[0]
    name = rows_identity(scan_store, label)
    return name if name in names else names[0]


@dataclass(frozen=True)
class ReductionStages:
    """The stages of a reduction, as functions or as tasks that wrap them.

    Parameters
    ----------
    add_regions, drop_region, reduce_scan, reduce_cohort : callable
        As those here.
    """

    add_regions: Callable[[str, str, str, str | None], list[str]] = add_regions
    drop_region: Callable[[str, str, str], bool] = drop_region
    reduce_scan: Callable[[str, str, str], bool] = reduce_scan
    reduce_cohort: Callable[[str, str], int] = reduce_cohort


PLAIN_STAGES = ReductionStages()
"""The stages as they are."""


def reduce_store(settings: ReduceSettings, stages: ReductionStages = PLAIN_STAGES) -> list[RunSummary]:
    """Write local and global matrices anew where what they depend on has changed.

    Parameters
    ----------
    settings : ReduceSettings
        Which results; with other regions, or without some.
    stages : ReductionStages
        What does the work.

    Returns
    -------
    list of RunSummary
        One a label: how each of its scans fared.
    """
    store = store_of(settings.store)
    labels = settings.labels or list(store.labels())
    scans = [
        scan_id
        for scan_id in store.scans()
        if any(store.scan(scan_id).units(label) or store.scan(scan_id).sums(label) for label in labels)
    ]
    failed: dict[str, str] = {}
    for name in settings.drop_rois or []:
        for scan_id in store.scans():
            with _noted(failed, scan_id, settings.store):
                stages.drop_region(settings.store, scan_id, name)
    if settings.rois is not None:
        for scan_id in scans:
            with _noted(failed, scan_id, settings.rois):
                stages.add_regions(settings.store, scan_id, settings.rois, settings.roi_names)
    changed = list(store.labels()) if settings.drop_rois else labels
    return [_reduce_label(settings.store, label, scans, failed, stages) for label in changed]


@contextmanager
def _noted(failed: dict[str, str], scan_id: str, path: str) -> Iterator[None]:
    """Note why a scan failed, and go on."""
    try:
        yield
    except Exception as error:  # whatever befalls one scan, the others go on
        failed[scan_id] = reason_of(error, scan_id, path)


def _reduce_label(
    store: str, label: str, scans: Sequence[str], failed: dict[str, str], stages: ReductionStages
) -> RunSummary:
    outcomes = []
    for scan_id in scans:
        started = time.monotonic()
        scan_store = store_of(store).scan(scan_id)
        summed = sums_of(scan_store, label)
        units = {**scan_store.units(label), **summed}
        if scan_id in failed:
            outcomes.append(ScanOutcome(scan_id, "failed", failed[scan_id]))
        elif scan_store.sums(label).keys() - units.keys():
            outcomes.append(ScanOutcome(scan_id, "failed", NO_VOXELS))
        elif units:
            stages.reduce_scan(store, scan_id, label)
            note = f"without voxels: {', '.join(summed)}" if summed else ""
            n, seconds = len(units), time.monotonic() - started
            outcomes.append(ScanOutcome(scan_id, "done", note, n_classes=n, n_kept=n, seconds=seconds))
    return RunSummary(store, label, outcomes, stages.reduce_cohort(store, label))
