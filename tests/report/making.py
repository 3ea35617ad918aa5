"""A small store with matrices, findings and the volumes of two scans, and the report of it."""

from pathlib import Path

import numpy as np
import torch

from agg2exp_core.report.cohort_page import write_report
from agg2exp_core.store import ScanStore, Store
from agg2exp_core.types import Grid, Prediction, Scan
from tests.analysis.example import CLASSES, LABEL, ODD, matrices, write_example, write_store

WITH_VOLUMES = (ODD, "s0001")
SHAPE = (24, 20, 16)
AFFINE = np.diag([-4.0, 4.0, 5.0, 1.0])
"""First axis to the patient's left: nothing may rely on RAS."""


def analysed_store(folder: Path) -> Store:
    """Twelve scans with the findings of all analyses; two of them have volumes."""
    store = write_example(folder)
    for scan_id in WITH_VOLUMES:
        write_volumes(store.scan(scan_id))
    return store


def bare_store(folder: Path) -> Store:
    """Three scans with matrices alone, never analysed."""
    return write_store(folder, matrices(3, seed=1))


def write_volumes(there: ScanStore) -> None:
    """Image, prediction, and an attribution for each class: strong where the class is, and signed."""
    rng = np.random.default_rng(7)
    labels = np.zeros(SHAPE, dtype=np.uint8)
    for index in range(1, len(CLASSES)):
        labels[3 * index : 3 * index + 3, 4:16, 3:12] = index
    image = 0.2 + 0.1 * labels + 0.02 * rng.normal(size=SHAPE)
    grid = Grid(SHAPE, AFFINE)
    there.write_image(Scan(there.scan_id, torch.from_numpy(image[None]).float(), AFFINE, grid, "0" * 64))
    ones = np.ones(SHAPE, dtype=np.float32)
    there.write_prediction(Prediction(labels, CLASSES, ones, ones), "p" * 64)
    for index, name in enumerate(CLASSES):
        values = rng.normal(size=SHAPE) * (0.1 + (labels == index))
        there.write_unit(LABEL, name, values.astype(np.float32), identity="u" * 64, info={})


def written(store: Store, out: Path) -> Path:
    """The folder of a store's report."""
    write_report(store, [LABEL], out)
    return out
