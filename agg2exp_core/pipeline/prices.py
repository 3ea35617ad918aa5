"""What scans will cost before they are explained: what the store lacks of them, and what they leave in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agg2exp_core.attribution import choose_classes
from agg2exp_core.labels import merged_for
from agg2exp_core.pipeline.cache import model_of, store_of
from agg2exp_core.pipeline.explain import missing_classes, wanted_classes
from agg2exp_core.pipeline.settings import ExplainSettings
from agg2exp_core.store import ScanStore, identity, is_store
from agg2exp_core.store.writer import n_objects
from agg2exp_core.types import Scan, SegmentationModel, Shape3

_VARIABLE_BYTES = 8 * 8
"""Of an entry of a scan's matrix: eight variables."""
_SUMS = 4
"""Rows of the sums that stand for an attribution without voxels."""
_DATABASE_ROWS = 21
"""Of Prefect a scan and method: a flow run, 4 task runs, 16 events (measured: docs/scaling.md)."""


@dataclass(frozen=True)
class Missing:
    """What the store lacks of a scan and method.

    Parameters
    ----------
    shape : tuple of int
        Voxels of the preprocessed scan ``(X, Y, Z)``.
    segmented : bool
        Whether it holds the segmentation.
    n_classes : int
        Classes to explain; of a scan that is not segmented, all that are asked for.
    """

    shape: Shape3
    segmented: bool
    n_classes: int


@dataclass(frozen=True)
class Footprint:
    """What something leaves behind.

    Parameters
    ----------
    n_bytes : int
        In the store, before compression.
    n_objects : int
        Files, or objects on S3.
    n_database_rows : int
        Of Prefect's database.
    """

    n_bytes: int
    n_objects: int
    n_database_rows: int = 0

    def __add__(self, other: Footprint) -> Footprint:
        return Footprint(
            self.n_bytes + other.n_bytes,
            self.n_objects + other.n_objects,
            self.n_database_rows + other.n_database_rows,
        )


def held_scan(settings: ExplainSettings, scan: Scan) -> ScanStore | None:
    """Return a scan that the store holds with the model's segmentation, or None; nothing is written."""
    if not is_store(settings.store):
        return None
    scan_store = store_of(settings.store).scan(scan.scan_id)
    name = identity(scan=scan.content_hash, model=model_of(settings).fingerprint)
    return scan_store if scan_store.prediction_identity() == name else None


def missing_of(settings: ExplainSettings, scan: Scan) -> Missing:
    """Return what the store lacks of a preprocessed scan."""
    n_asked = len(choose_classes(model_of(settings), settings.classes))
    held = held_scan(settings, scan)
    prediction = None if held is None else held.prediction()
    if prediction is None:
        return Missing(scan.grid.shape, False, n_asked)
    wanted = wanted_classes(settings, prediction.present)
    missing = missing_classes(settings, scan.scan_id, scan.content_hash, wanted)
    return Missing(scan.grid.shape, True, len(missing))


def longest_load(seconds: Sequence[float], n_devices: int) -> float:
    """Return the seconds of the device that has most to do: each scan goes where least waits."""
    loads = [0.0] * n_devices
    for of_scan in sorted(seconds, reverse=True):
        loads[loads.index(min(loads))] += of_scan
    return max(loads)


def scan_footprint(model: SegmentationModel, shape: Shape3) -> Footprint:
    """Return what a scan leaves whatever the methods: image, label map, own logits and probabilities."""
    smallest = np.min_scalar_type(max(model.n_classes - 1, 0))
    real = np.dtype(np.float32)
    arrays = [((model.n_channels, *shape), real), (shape, smallest), (shape, real), (shape, real)]
    groups = 4  # the scan, its labels, its label map, what is known of the prediction
    return Footprint(
        sum(math.prod(of) * dtype.itemsize for of, dtype in arrays),
        sum(n_objects(of, dtype) for of, dtype in arrays) + groups,
    )


def method_footprint(settings: ExplainSettings, shape: Shape3, n_classes: int, *, voxels: bool) -> Footprint:
    """Return what a scan and method leave: attributions or their sums, and the rows of the matrix."""
    model = model_of(settings)
    n_regions = model.n_classes + len(merged_for(model.class_names))
    dtype = np.dtype(settings.stored if voxels else np.float64)
    attribution = (model.n_channels, *shape) if model.n_channels > 1 else shape
    of_class = attribution if voxels else (_SUMS, n_regions + 1)
    rows, groups = 1, 2
    return Footprint(
        n_classes * math.prod(of_class) * dtype.itemsize + model.n_classes * n_regions * _VARIABLE_BYTES,
        n_classes * n_objects(of_class, dtype, streamed=voxels) + rows + groups,
        _DATABASE_ROWS,
    )
