"""Peak memory of explaining a scan while its attributions stream into the store."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import nn

from agg2exp_core import open_store, wrap_network
from agg2exp_core.attribution import attribute_planes
from agg2exp_core.store import WriteQueue
from agg2exp_core.types import Prediction, SegmentationModel
from benchmarks.timing import Row, Spread

SIDE = 128
"""Voxels of the scan along its second and third axis."""
DEPTH = 96
"""Planes of a window."""
CLASS_NAMES = tuple("abcdefghijkl")

SLABS_BYTES = len(CLASS_NAMES) * DEPTH * SIDE * SIDE * 4


def small_model() -> SegmentationModel:
    """Return a network whose own passes are small beside the slabs."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv3d(1, 2, 3, padding=1), nn.GELU(), nn.Conv3d(2, len(CLASS_NAMES), 1))
    return wrap_network(network, CLASS_NAMES, (DEPTH, 32, 32), 0.0)


def peak_of(work: Callable[[], object]) -> int:
    """Return by how many bytes the resident memory of this process rises at most."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before = psutil.Process().memory_info().rss
    work()
    (peak,) = [line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
    return int(peak.split()[1]) * 1024 - before


def excess(n_planes: int) -> int:
    """Return the peak over the scan, its label map, and one window's own passes, in bytes."""
    torch.set_num_threads(1)
    model = small_model()
    shape = (n_planes, SIDE, SIDE)
    labels = (np.indices(shape, np.uint8).sum(axis=0) % len(CLASS_NAMES)).astype(np.uint8)
    flat = np.broadcast_to(np.float32(1), shape)
    prediction, image = Prediction(labels, CLASS_NAMES, flat, flat), torch.rand(1, *shape)
    window = torch.rand(1, 1, *model.windows.shape, requires_grad=True)

    def one_window() -> None:
        logits = model.logits(window)
        torch.autograd.grad(logits, window, torch.ones_like(logits))

    with tempfile.TemporaryDirectory() as folder:
        there = open_store(folder, create=True).scan("phantom")

        def explain(part: slice, label: str) -> None:
            of_part = Prediction(labels[part], CLASS_NAMES, flat[part], flat[part])
            with WriteQueue() as queue:
                size = of_part.labels.shape
                writers = {c: there.unit_writer(label, c, size, "i", queue) for c in CLASS_NAMES}
                for planes in attribute_planes(model, image[:, part], "vanilla_gradient", None, of_part):
                    for name, values in planes.by_class():
                        writers[name].append(values)
                for writer in writers.values():
                    writer.finish({})

        explain(slice(0, 16), "to warm up")
        one_window()
        own = peak_of(one_window)
        label_map = 2 * prediction.labels.size  # int16, so that padding has a label of its own
        return peak_of(lambda: explain(slice(None), "measured")) - own - label_map


def measured(n_planes: int) -> float:
    """Return `excess` of a process of its own."""
    freed_at_once = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1048576"}  # or the peak is the heap's history
    command = [sys.executable, "-m", "benchmarks.attribution.memory", str(n_planes)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=freed_at_once)
    return float(done.stdout)


def rows(n_planes: int, n_repeats: int) -> list[Row]:
    """Return the rows for a scan of so many planes, and one three times as long."""
    short = [measured(n_planes) for _ in range(n_repeats)]
    long = [measured(3 * n_planes) for _ in range(n_repeats)]
    return [
        Row(
            f"peak memory while streaming {len(CLASS_NAMES)} classes, over a slab a class",
            Spread(tuple(n / SLABS_BYTES for n in short)),
            1.25,
        ),
        Row(
            "the same of a scan three times as long, over that of the short one",
            Spread(tuple(b / a for a, b in zip(short, long, strict=True))),
            1.25,
        ),
    ]


if __name__ == "__main__":
    print(excess(int(sys.argv[1])))
