"""Flow `reduce`: matrices again from stored attributions, for instance with new regions."""

from __future__ import annotations

import time

from prefect import flow

from tasks.cohort import reduce_cohort
from tasks.importance import add_regions, drop_region, reduce_scan, sums_of
from tasks.publish import publish
from tasks.resources import store_of
from tasks.settings import RunSummary, ScanOutcome, reason_of

_NO_VOXELS = (
    "got sums over other regions and no voxels, allowed: stored voxels; "
    "explain the scan again with these regions, with --restore-voxels where retention dropped them"
)


@flow(name="reduce", flow_run_name="reduce {labels}")
def reduce(
    store: str,
    labels: list[str],
    rois: str | None = None,
    roi_names: str | None = None,
    drop_rois: list[str] | None = None,
) -> list[RunSummary]:
    """Write the local and global matrices of labels anew where what they depend on has changed.

    Parameters
    ----------
    store : str
        Address of the store.
    labels : list of str
        Which results.
    rois, roi_names : str, optional
        Extra regions, as for `agg2exp_core.volumes.load_rois`.
    drop_rois : list of str, optional
        Extra regions that go, with their columns of all results.

    Returns
    -------
    list of RunSummary
        One a label: how each of its scans fared.
    """
    opened = store_of(store)
    scans = [
        scan_id
        for scan_id in opened.scans()
        if any(opened.scan(scan_id).units(n) or opened.scan(scan_id).sums(n) for n in labels)
    ]
    failed: dict[str, str] = {}
    for name in drop_rois or []:
        for scan_id in opened.scans():
            state = drop_region(store, scan_id, name, return_state=True)
            if not state.is_completed():
                failed[scan_id] = reason_of(state.result(raise_on_failure=False), scan_id, store)
    if rois is not None:
        for scan_id in scans:
            state = add_regions(store, scan_id, rois, roi_names, return_state=True)
            if not state.is_completed():
                failed[scan_id] = reason_of(state.result(raise_on_failure=False), scan_id, rois)
    labels = list(opened.labels()) if drop_rois else labels
    return [_reduce_label(store, label, scans, failed) for label in labels]


def _reduce_label(store: str, label: str, scans: list[str], failed: dict[str, str]) -> RunSummary:
    outcomes = []
    for scan_id in scans:
        started = time.monotonic()
        there = store_of(store).scan(scan_id)
        summed = sums_of(there, label)
        units = {**there.units(label), **summed}
        gone = there.sums(label).keys() - units.keys()
        if scan_id in failed:
            outcomes.append(ScanOutcome(scan_id, "failed", failed[scan_id]))
        elif gone:
            outcomes.append(ScanOutcome(scan_id, "failed", _NO_VOXELS))
        elif units:
            reduce_scan(store, scan_id, label)
            n_units, seconds = len(units), time.monotonic() - started
            note = f"without voxels: {', '.join(summed)}" if summed else ""
            outcomes.append(
                ScanOutcome(scan_id, "done", note, n_classes=n_units, n_kept=n_units, seconds=seconds)
            )
    summary = RunSummary(store, label, outcomes, reduce_cohort(store, label))
    publish(summary)
    return summary
