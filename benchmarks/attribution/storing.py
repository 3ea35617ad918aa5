"""Writing attributions to a store, or only their matrix, against computing alone."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from agg2exp_core import attribute, local_importance, open_store
from agg2exp_core.attribution import Planes, attribute_planes
from agg2exp_core.importance import RoiSet, StreamedSums
from agg2exp_core.store import WriteQueue
from agg2exp_core.types import ClassAttribution, Grid, Scan
from benchmarks.attribution.case import Case
from benchmarks.timing import Row, alternate, once, ratio

STORED = ("float32", "float16")
"""How voxels are stored."""


def rows(case: Case, n_repeats: int) -> list[Row]:
    """Return the rows of the vanilla gradient, the method that computes least for what it writes."""

    def items() -> Iterator[ClassAttribution]:
        return attribute(case.model, case.image, "vanilla_gradient", prediction=case.prediction)

    def pieces() -> Iterator[Planes]:
        return attribute_planes(case.model, case.image, "vanilla_gradient", prediction=case.prediction)

    def sum_up() -> None:
        sums = StreamedSums(RoiSet.of(case.prediction))
        for planes in pieces():
            for c, values in planes.by_class():
                sums.add(c, planes.start, values)

    with tempfile.TemporaryDirectory() as folder:
        there = open_store(folder, create=True).scan("phantom")
        there.write_image(_scan(case))
        label = (f"repeat{n}" for n in itertools.count())

        def write(dtype: str) -> None:
            name, writers = next(label), {}
            with WriteQueue() as queue:
                for planes in pieces():
                    for c, values in planes.by_class():
                        if planes.start == 0:
                            shape = tuple(case.image.shape[1:])
                            writers[c] = there.unit_writer(name, c, shape, name, queue, dtype)
                        writers[c].append(values)
                for writer in writers.values():
                    writer.finish({})

        stored_mb = {}
        for n, dtype in enumerate(STORED):
            write(dtype)
            files = Path(folder).rglob(f"attributions/repeat{n}/**/*")
            stored_mb[dtype] = sum(path.stat().st_size for path in files if path.is_file()) / 1e6
        seconds = alternate(
            {
                "alone": lambda: list(items()),
                "float32": lambda: write("float32"),
                "float16": lambda: write("float16"),
                "matrix": sum_up,
            },
            n_repeats,
        )
    voxels_mb = case.image.nbytes * len(case.present) / 1e6
    matrix_mb = local_importance(items(), case.prediction).nbytes / 1e6
    alone = seconds["alone"]
    return [
        *(
            Row(f"VG written as {dtype}, over VG alone", ratio(seconds[dtype], alone), 1.10)
            for dtype in STORED
        ),
        Row("VG to its matrix alone, over VG alone", ratio(seconds["matrix"], alone), 1.10),
        *(
            once(f"stored as {dtype}, MB (of {voxels_mb:.3g} MB of voxels)", mb)
            for dtype, mb in stored_mb.items()
        ),
        once("the matrix, MB", matrix_mb),
    ]


def _scan(case: Case) -> Scan:
    x, y, z = case.image.shape[1:]
    affine = np.eye(4)
    return Scan("phantom", case.image, affine, Grid((x, y, z), affine), "0")
