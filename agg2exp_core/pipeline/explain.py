"""Explain scans into a store: segment, attribute, reduce; what is there is kept.

The stages are functions that take plain data, open what it names, and leave their results in the store:
whoever runs them (this module, or tasks of a workflow engine that name and retry them) can go on where it
stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypedDict

import numpy as np

from agg2exp_core.attribution import Execution, attribute_planes, choose_classes
from agg2exp_core.errors import ScanError, StoreError
from agg2exp_core.pipeline import ahead
from agg2exp_core.pipeline.cache import model_of, network_remarks, store_of
from agg2exp_core.pipeline.known import is_unchanged, mark_complete, stamp_or_none
from agg2exp_core.pipeline.outcomes import (
    Rejected,
    RunSummary,
    ScanJob,
    ScanOutcome,
    UnusableScanError,
    record_rejected,
    run_each,
)
from agg2exp_core.pipeline.plan import register
from agg2exp_core.pipeline.reduce import add_regions, reduce_cohort, reduce_scan, sums_of
from agg2exp_core.pipeline.settings import ExplainSettings
from agg2exp_core.pipeline.sinks import Sink, SumSink, VoxelSink
from agg2exp_core.prediction import predict
from agg2exp_core.remarks import sentence
from agg2exp_core.store import ScanStore, WriteQueue, identity
from agg2exp_core.store.marks import forget
from agg2exp_core.types import Mask, Scan, Volume
from agg2exp_core.volumes import prepared

Progress = Callable[[int, int], None]
"""Told the windows done and their total."""


class Segmented(TypedDict):
    """What the next stages need to know of a segmented scan."""

    scan_id: str
    content_hash: str
    present: list[str]
    kept: bool


def segment(scan: ScanJob, settings: ExplainSettings) -> Segmented:
    """Segment a scan, and lay image and prediction into the store, unless it holds them already.

    A scan whose files have not changed since they were read is not read again.

    Raises
    ------
    ScanError
        If the scan cannot be used.
    ModelError
        If the model cannot.
    StoreError
        If the store holds another scan of this id.
    """
    model, remarks = model_of(settings), network_remarks(settings)
    scan_store = store_of(settings.store).scan(scan.scan_id)
    content_hash, found = _content(scan, settings)
    name = identity(scan=content_hash, model=model.fingerprint)
    prediction = scan_store.prediction() if scan_store.prediction_identity() == name else None
    kept = prediction is not None
    if prediction is None:
        found = _read(scan, settings) if found is None else found
        if not isinstance(found, Scan):
            with _set_aside(scan):
                found = prepared(found, model, scan.scan_id, settings.accept)
        scan_store.write_image(found)
        prediction = predict(model, found, window_batch=settings.window_batch)
        scan_store.write_prediction(prediction, name, (*remarks, *prediction.remarks))
    return Segmented(
        scan_id=scan.scan_id,
        content_hash=content_hash,
        present=list(prediction.present),
        kept=kept,
    )


def _content(scan: ScanJob, settings: ExplainSettings) -> tuple[str, Scan | Volume | None]:
    """Return the content hash of a scan, and the scan where it had to be read for that."""
    store = store_of(settings.store)
    held = store.scan(scan.scan_id).content_hash()
    if held is None:
        forget(store.root, scan.scan_id)  # marks of a scan that was removed
    elif not settings.recheck and is_unchanged(settings.store, scan.scan_id, stamp_or_none(scan.path)):
        return held, None
    found = _read(scan, settings)
    if held not in (None, found.content_hash):
        raise StoreError(
            scan.scan_id,
            got="another scan than the one that the store holds under this id",
            allowed="one scan an id",
            remedy="choose another --scan-id, or another store",
        )
    return found.content_hash, found


def _read(scan: ScanJob, settings: ExplainSettings) -> Scan | Volume:
    with _set_aside(scan):
        return ahead.read(scan, settings)


@contextmanager
def _set_aside(scan: ScanJob) -> Iterator[None]:
    """Let a scan that cannot be used, which only its voxels tell, be recorded as such."""
    try:
        yield
    except ScanError as error:
        told = {"got": error.got, "allowed": error.allowed, "remedy": error.remedy}
        raise UnusableScanError(scan.scan_id, **told) from None


def unit_identity(settings: ExplainSettings, scan_id: str, content_hash: str, class_name: str) -> str:
    """Return the identity of one unit: scan, model, method, class."""
    return identity(
        scan=content_hash,
        scan_id=scan_id,
        model=model_of(settings).fingerprint,
        class_name=class_name,
        **settings.recipe,
    )


def wanted_classes(settings: ExplainSettings, present: Sequence[str]) -> list[str]:
    """Return the classes to explain: those asked for, and present unless a region stands for them."""
    model = model_of(settings)
    wanted = [model.class_names[c] for c in choose_classes(model, settings.classes)]
    if settings.attribution_method.region is not None:
        return wanted
    return [name for name in wanted if name in present]


def missing_classes(
    settings: ExplainSettings, scan_id: str, content_hash: str, classes: Sequence[str]
) -> list[str]:
    """Return those of `classes` that the store does not hold yet, as the settings ask for them.

    What retention has dropped the voxels of is held, unless the settings ask for its voxels again.
    """
    scan_store, label = store_of(settings.store).scan(scan_id), settings.result_label
    summed = sums_of(scan_store, label)
    if settings.voxels:
        summed = {n: s for n, s in summed.items() if s.dropped_at and not settings.restore_voxels}
    found = {**summed, **scan_store.units(label)}
    return [
        name
        for name in classes
        if name not in found or found[name].identity != unit_identity(settings, scan_id, content_hash, name)
    ]


def attribute_classes(
    scan_id: str,
    content_hash: str,
    classes: list[str],
    settings: ExplainSettings,
    progress: Progress = lambda done, total: None,
) -> int:
    """Explain classes of a segmented scan, each a unit or its sums; return how many were written."""
    model = model_of(settings)
    scan_store, label = store_of(settings.store).scan(scan_id), settings.result_label
    scan, method = scan_store.image(), settings.attribution_method
    identify = partial(unit_identity, settings, scan_id, content_hash)
    n_written = 0
    with WriteQueue() as queue:
        sink: Sink = (
            VoxelSink(scan_store, label, scan.grid.shape[0], identify, queue, settings.stored)
            if settings.voxels
            else SumSink(scan_store, label, identify)
        )
        for planes in attribute_planes(
            model,
            scan,
            method,
            classes,
            scan_store.prediction(),
            settings.effective_seed,
            roi=_mask(scan_store, method.region),
            execution=Execution(window_batch=settings.window_batch),
            progress=progress,
        ):
            for name, values in planes.by_class():
                sink.add(name, planes.start, values)
            if planes.infos is not None:
                for name, info in zip(planes.class_names, planes.infos, strict=True):
                    sink.finish(name, info)
                    n_written += 1
    return n_written


def _mask(scan_store: ScanStore, region: str | None) -> Mask | None:
    """Return the mask of the region that a method explains, if it does."""
    if region is None:
        return None
    rois = scan_store.rois()
    if region not in rois:
        raise ScanError(
            scan_store.scan_id,
            got=f"no region {region!r}",
            allowed=", ".join(rois) or "regions given with --rois",
            remedy="give the region with --rois",
        )
    return np.asarray(rois[region])


@dataclass(frozen=True)
class ScanStages:
    """The stages of a scan, as functions or as tasks that wrap them.

    Parameters
    ----------
    segment, add_regions, attribute, reduce : callable
        As `segment`, `agg2exp_core.pipeline.reduce.add_regions`, `attribute_classes` and
        `agg2exp_core.pipeline.reduce.reduce_scan`.
    """

    segment: Callable[[ScanJob, ExplainSettings], Segmented] = segment
    add_regions: Callable[[str, str, str, str | None], list[str]] = add_regions
    attribute: Callable[[str, str, list[str], ExplainSettings], int] = attribute_classes
    reduce: Callable[[str, str, str], bool] = reduce_scan


PLAIN_STAGES = ScanStages()
"""The stages as they are."""


def explain_scan(scan: ScanJob, settings: ExplainSettings, stages: ScanStages = PLAIN_STAGES) -> ScanOutcome:
    """Segment one scan, explain what is missing of its classes, write its local matrix.

    Raises
    ------
    Agg2ExpError
        If the scan cannot be used, or the store not written; what was finished is kept.
    """
    started, stamp = time.monotonic(), stamp_or_none(scan.path)  # before the file is read
    segmented = stages.segment(scan, settings)
    if settings.rois is not None:
        stages.add_regions(settings.store, scan.scan_id, settings.rois, settings.roi_names)
    wanted = wanted_classes(settings, segmented["present"])
    missing = missing_classes(settings, scan.scan_id, segmented["content_hash"], wanted)
    size = settings.classes_per_task or max(len(missing), 1)
    n_computed = sum(
        stages.attribute(scan.scan_id, segmented["content_hash"], missing[i : i + size], settings)
        for i in range(0, len(missing), size)
    )
    stages.reduce(settings.store, scan.scan_id, settings.result_label)
    mark_complete(scan, settings, stamp)
    return ScanOutcome(
        scan_id=scan.scan_id,
        status="done",
        reason=sentence(store_of(settings.store).scan(scan.scan_id).remarks()),
        n_classes=len(segmented["present"]),
        n_computed=n_computed,
        n_kept=len(wanted) - len(missing),
        seconds=time.monotonic() - started,
    )


def explain_cohort(
    scans: Sequence[ScanJob],
    settings: ExplainSettings,
    rejected: Sequence[Rejected] = (),
    n_kept: int = 0,
) -> RunSummary:
    """Explain scans into a store, then write the matrices of the cohort; one that fails is recorded.

    Parameters
    ----------
    scans : sequence of ScanJob
        The scans, as `agg2exp_core.pipeline.plan` finds them.
    settings : ExplainSettings
        How they are explained.
    rejected : sequence of Rejected
        Scans that were found unusable before: they are recorded with the others.
    n_kept : int
        Scans that were found complete before, for the summary.

    Returns
    -------
    RunSummary
        How each scan fared, and where the results are.
    """
    store, label = store_of(settings.store), settings.result_label
    register(store, model_of(settings), settings)
    outcomes = record_rejected(store, rejected)
    outcomes += run_each(
        scans,
        store,
        "explain",
        lambda scan: explain_scan(scan, settings),
        meanwhile=partial(ahead.read_ahead, settings=settings),
    )
    return RunSummary(settings.store, label, outcomes, reduce_cohort(settings.store, label), n_kept)
