"""Retention: voxels of attributions go after some days, and their sums over the regions stay."""

from __future__ import annotations

from collections.abc import Iterator

from prefect import task
from prefect.artifacts import create_table_artifact

from agg2exp_core.importance import RoiSet
from agg2exp_core.importance.stored import sums_from_arrays
from agg2exp_core.store import DROPPED, ScanStore, Unit
from agg2exp_core.store.at_work import removing
from agg2exp_core.store.stamps import hours_since, now
from tasks.importance import REGIONS, regions_identity, regions_of, write_rows
from tasks.resources import store_of
from tasks.retention_settings import RetentionSettings, RetentionSummary, ScanRetention
from tasks.retrying import RETRYING
from tasks.settings import artifact_key


@task(name="drop voxels", task_run_name="drop voxels of {scan_id}", **RETRYING)
def drop_old(settings: RetentionSettings, scan_id: str) -> ScanRetention:
    """Drop the voxels of a scan's attributions that are old enough, unless somebody is at work on it.

    A killed run goes on where it stopped: sums are complete before the first voxel goes, and what is left
    of voxels that were on their way out goes with the next run.
    """
    store = store_of(settings.store)
    there, labels = store.scan(scan_id), settings.labels or list(store.labels())
    if settings.dry_run:
        return _outcome(there, list(_old(there, labels, settings.keep_days)), labels)
    with removing(store.root, scan_id) as free:
        if not free:
            return ScanRetention(scan_id, "at work")
        old = list(_old(there, labels, settings.keep_days))
        outcome = _outcome(there, old, labels)
        regions = regions_of(there) if old else None
        for label in labels:
            going = {name: unit for of, name, unit in old if of == label}
            for name, unit in going.items():
                assert regions is not None
                _sum_up(there, label, name, unit, regions)
                there.drop_voxels(label, name)
            for name in _left_over(there, label):
                there.drop_voxels(label, name)
            if going:
                write_rows(there, label)
        return outcome


@task(name="report retention")
def report_retention(summary: RetentionSummary) -> None:
    """Show how each scan fared in the UI."""
    create_table_artifact(
        key=artifact_key("retention", summary.settings.store),
        description=summary.said,
        table=[
            {
                "scan": scan.scan_id,
                "status": scan.status,
                "dropped": scan.n_dropped,
                "kept": scan.n_kept,
                "MB": round(scan.n_bytes / 1e6, 1),
                "reason": scan.reason,
            }
            for scan in summary.scans
        ],
    )


def _old(there: ScanStore, labels: list[str], keep_days: float) -> Iterator[tuple[str, str, Unit]]:
    """Yield label, class and unit of what was finished long enough ago."""
    for label in labels:
        for name, unit in there.units(label).items():
            if unit.finished is not None and hours_since(unit.finished) >= 24 * keep_days:
                yield label, name, unit


def _outcome(there: ScanStore, old: list[tuple[str, str, Unit]], labels: list[str]) -> ScanRetention:
    n_bytes = sum(there.n_bytes(label, name) for label, name, _ in old)
    n_kept = sum(len(there.units(label)) for label in labels) - len(old)
    return ScanRetention(there.scan_id, "dropped" if old else "kept", len(old), n_kept, n_bytes)


def _sum_up(there: ScanStore, label: str, name: str, unit: Unit, regions: RoiSet) -> None:
    """Keep what the matrices need of an attribution, and that its voxels were dropped and when."""
    sums, _ = sums_from_arrays({name: there.attribution(label, name)}, regions)
    dropped = {"at": now(), "finished": unit.finished, "checksum": unit.checksum}
    there.write_sums(
        label,
        name,
        sums[name].as_array(),
        identity=unit.identity,
        info={**unit.info, REGIONS: regions_identity(there), DROPPED: dropped},
    )


def _left_over(there: ScanStore, label: str) -> list[str]:
    """Return the classes whose voxels were on their way out when a run was killed."""
    units = there.units(label)
    return [
        name
        for name, sums in there.sums(label).items()
        if sums.dropped_at and name not in units and there.n_bytes(label, name)
    ]
