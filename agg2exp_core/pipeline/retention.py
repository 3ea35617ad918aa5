"""Retention: voxels of attributions go after some days, and their sums over the regions stay."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from agg2exp_core.importance import RoiSet
from agg2exp_core.importance.dask_sums import sums_from_arrays
from agg2exp_core.pipeline.cache import store_of
from agg2exp_core.pipeline.outcomes import reason_of
from agg2exp_core.pipeline.reduce import REGIONS, regions_identity, regions_of, write_rows
from agg2exp_core.pipeline.settings import RetentionSettings
from agg2exp_core.store import DROPPED, ScanStore, Unit
from agg2exp_core.store.keys import hours_since, now
from agg2exp_core.store.locks import removing


@dataclass(frozen=True)
class ScanRetention:
    """How a scan fared.

    Parameters
    ----------
    scan_id : str
        The scan.
    status : {"dropped", "kept", "at work", "failed"}
        Whether voxels went (or would go), nothing was old enough, the scan is being explained and was left
        alone, or could not be treated.
    n_dropped, n_kept : int
        Attributions whose voxels went, and that have theirs.
    n_bytes : int
        That are free.
    reason : str
        Why it failed, else empty.
    """

    scan_id: str
    status: str
    n_dropped: int = 0
    n_kept: int = 0
    n_bytes: int = 0
    reason: str = ""


@dataclass(frozen=True)
class RetentionSummary:
    """How a retention fared.

    Parameters
    ----------
    settings : RetentionSettings
        What was asked.
    scans : list of ScanRetention
        One a scan.
    """

    settings: RetentionSettings
    scans: list[ScanRetention]

    @property
    def n_dropped(self) -> int:
        """Attributions whose voxels went, or would go."""
        return sum(scan.n_dropped for scan in self.scans)

    @property
    def n_bytes(self) -> int:
        """Bytes that are free, or would be."""
        return sum(scan.n_bytes for scan in self.scans)

    @property
    def said(self) -> str:
        """All of it in one line."""
        done = "would drop" if self.settings.dry_run else "dropped"
        at_work = sum(scan.status == "at work" for scan in self.scans)
        beside = f"; {at_work} scans at work were left alone" if at_work else ""
        return (
            f"{done} the voxels of {self.n_dropped} attributions of {len(self.scans)} scans, "
            f"{self.n_bytes / 1e6:.1f} MB{beside}"
        )


def drop_old(settings: RetentionSettings, scan_id: str) -> ScanRetention:
    """Drop the voxels of a scan's attributions that are old enough, unless somebody is at work on it.

    A killed run goes on where it stopped: sums are complete before the first voxel goes, and what is left
    of voxels that were on their way out goes with the next run.
    """
    store = store_of(settings.store)
    scan_store, labels = store.scan(scan_id), settings.labels or list(store.labels())
    if settings.dry_run:
        return _outcome(scan_store, list(_old(scan_store, labels, settings.keep_days)), labels)
    with removing(store.root, scan_id) as free:
        if not free:
            return ScanRetention(scan_id, "at work")
        old = list(_old(scan_store, labels, settings.keep_days))
        outcome = _outcome(scan_store, old, labels)
        regions = regions_of(scan_store) if old else None
        for label in labels:
            going = {name: unit for of, name, unit in old if of == label}
            for name, unit in going.items():
                assert regions is not None
                _sum_up(scan_store, label, name, unit, regions)
                scan_store.drop_voxels(label, name)
            for name in _left_over(scan_store, label):
                scan_store.drop_voxels(label, name)
            if going:
                write_rows(scan_store, label)
        return outcome


def retain(
    settings: RetentionSettings,
    drop: Callable[[RetentionSettings, str], ScanRetention] = drop_old,
) -> RetentionSummary:
    """Drop the voxels of old attributions, scan by scan; one that fails is named, and the others go on.

    Parameters
    ----------
    settings : RetentionSettings
        Which store, and how long voxels are kept.
    drop : callable, optional
        `drop_old`, or a task that wraps it.
    """
    scans = []
    for scan_id in store_of(settings.store).scans():
        try:
            scans.append(drop(settings, scan_id))
        except Exception as error:  # whatever befalls one scan, the others go on
            scans.append(ScanRetention(scan_id, "failed", reason=reason_of(error, scan_id, settings.store)))
    return RetentionSummary(settings, scans)


def _old(scan_store: ScanStore, labels: list[str], keep_days: float) -> Iterator[tuple[str, str, Unit]]:
    """Yield label, class and unit of what was finished long enough ago."""
    for label in labels:
        for name, unit in scan_store.units(label).items():
            if unit.finished is not None and hours_since(unit.finished) >= 24 * keep_days:
                yield label, name, unit


def _outcome(scan_store: ScanStore, old: list[tuple[str, str, Unit]], labels: list[str]) -> ScanRetention:
    n_bytes = sum(scan_store.n_bytes(label, name) for label, name, _ in old)
    n_kept = sum(len(scan_store.units(label)) for label in labels) - len(old)
    return ScanRetention(scan_store.scan_id, "dropped" if old else "kept", len(old), n_kept, n_bytes)


def _sum_up(scan_store: ScanStore, label: str, name: str, unit: Unit, regions: RoiSet) -> None:
    """Keep what the matrices need of an attribution, and that its voxels were dropped and when."""
    sums, _ = sums_from_arrays({name: scan_store.attribution(label, name)}, regions)
    dropped = {"at": now(), "finished": unit.finished, "checksum": unit.checksum}
    scan_store.write_sums(
        label,
        name,
        sums[name].as_array(),
        identity=unit.identity,
        info={**unit.info, REGIONS: regions_identity(scan_store), DROPPED: dropped},
    )


def _left_over(scan_store: ScanStore, label: str) -> list[str]:
    """Return the classes whose voxels were on their way out when a run was killed."""
    units = scan_store.units(label)
    return [
        name
        for name, sums in scan_store.sums(label).items()
        if sums.dropped_at and name not in units and scan_store.n_bytes(label, name)
    ]
