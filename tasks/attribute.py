"""Stage 2: explain a group of classes of one scan, a unit of the store each, or its sums alone."""

from __future__ import annotations

from functools import partial

from prefect import task
from prefect.runtime import task_run

from agg2exp_core.attribution import Execution, attribute_planes
from agg2exp_core.errors import ScanError
from agg2exp_core.store import ScanStore, WriteQueue, identity
from agg2exp_core.types import Mask
from tasks.importance import sums_of
from tasks.progress import reporting
from tasks.resources import model_of, store_of
from tasks.retrying import RETRYING
from tasks.settings import ExplainSettings
from tasks.sinks import Sink, SumSink, VoxelSink


def unit_identity(settings: ExplainSettings, scan_id: str, content_hash: str, class_name: str) -> str:
    """Return the identity of one unit: scan, model, method, class."""
    return identity(
        scan=content_hash,
        scan_id=scan_id,
        model=model_of(settings).fingerprint,
        class_name=class_name,
        **settings.recipe,
    )


def missing_classes(
    settings: ExplainSettings, scan_id: str, content_hash: str, classes: list[str]
) -> list[str]:
    """Return those of `classes` that the store does not hold yet, as the settings ask for them.

    What retention has dropped the voxels of is held, unless the settings ask for its voxels again.
    """
    there, label = store_of(settings.store).scan(scan_id), settings.result_label
    summed = sums_of(there, label)
    if settings.voxels:
        summed = {n: s for n, s in summed.items() if s.dropped_at and not settings.restore_voxels}
    found = {**summed, **there.units(label)}
    return [
        name
        for name in classes
        if name not in found or found[name].identity != unit_identity(settings, scan_id, content_hash, name)
    ]


def _run_name() -> str:
    given = task_run.parameters
    classes = given["classes"]
    text = ", ".join(classes) if len(classes) <= 3 else f"{len(classes)} classes"
    return f"attribute {given['scan_id']} {given['settings'].result_label} {text}"


def _roi(there: ScanStore, aggregation: str) -> Mask | None:
    name = aggregation.removeprefix("roi:")
    if name == aggregation:
        return None
    rois = there.rois()
    if name not in rois:
        raise ScanError(
            there.scan_id,
            got=f"no region {name!r}",
            allowed=", ".join(rois) or "regions given with --rois",
            remedy="give the region with --rois",
        )
    return rois[name].compute()


@task(name="attribute", task_run_name=_run_name, **RETRYING)
def attribute_classes(scan_id: str, content_hash: str, classes: list[str], settings: ExplainSettings) -> int:
    """Explain classes of a scan, each a unit or its sums; return how many were written."""
    model = model_of(settings)
    there, label = store_of(settings.store).scan(scan_id), settings.result_label
    scan, method = there.image(), settings.attribution_method
    identify = partial(unit_identity, settings, scan_id, content_hash)
    n_written = 0
    with reporting(scan_id, label) as report, WriteQueue() as queue:
        sink: Sink = (
            VoxelSink(there, label, scan.grid.shape[0], identify, queue, settings.stored)
            if settings.voxels
            else SumSink(there, label, identify)
        )
        for planes in attribute_planes(
            model,
            scan,
            method,
            classes,
            there.prediction(),
            settings.effective_seed,
            roi=_roi(there, method.aggregation),
            execution=Execution(window_batch=settings.window_batch),
            progress=report,
        ):
            for name, values in planes.by_class():
                sink.add(name, planes.start, values)
            if planes.infos is not None:
                for name, info in zip(planes.class_names, planes.infos, strict=True):
                    sink.finish(name, info)
                    n_written += 1
    return n_written
