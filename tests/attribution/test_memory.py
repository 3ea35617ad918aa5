"""The working set of a sweep does not grow with the scan."""

import os
import subprocess
import sys

import pytest

MEASURE = """
import sys, tempfile
from pathlib import Path
import numpy as np, psutil, torch
from torch import nn
from agg2exp_core.attribution import attribute_planes
from agg2exp_core.models import wrap_network
from agg2exp_core.store import WriteQueue, open_store
from agg2exp_core.types import Prediction

torch.set_num_threads(1)
torch.manual_seed(0)
names = tuple("abcdefghijkl")
network = nn.Sequential(nn.Conv3d(1, 2, 3, padding=1), nn.GELU(), nn.Conv3d(2, len(names), 1))
model = wrap_network(network, names, (32, 32, 32), 0.0)


def explain(folder, n_planes):
    shape = (n_planes, 128, 128)
    labels = (np.indices(shape, np.uint8).sum(axis=0) % len(names)).astype(np.uint8)
    flat = np.broadcast_to(np.float32(1), shape)
    prediction, image = Prediction(labels, names, flat, flat), torch.rand(1, *shape)
    there = open_store(folder, create=True).scan(f"s{n_planes}")
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before = psutil.Process().memory_info().rss
    with WriteQueue() as queue:
        writers = {name: there.unit_writer("sg", name, shape, "i", queue) for name in names}
        for planes in attribute_planes(model, image, "smoothgrad", prediction=prediction, n_samples=1):
            for name, values in planes.by_class():
                writers[name].append(values)
        for writer in writers.values():
            writer.finish({})
    (peak,) = [line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
    label_map = 2 * labels.size  # int16, so that padding has a label of its own
    return int(peak.split()[1]) * 1024 - before - label_map


with tempfile.TemporaryDirectory() as folder:
    explain(folder, 32)
    print(explain(folder, int(sys.argv[1])))
"""

SLABS = 12 * 32 * 128 * 128 * 4


def peak(n_planes):
    freed_at_once = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1048576"}  # or the peak is the heap's history
    command = [sys.executable, "-c", MEASURE, str(n_planes)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=freed_at_once)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_a_scan_three_times_as_long_takes_the_same_memory():
    short, long = peak(64), peak(192)
    assert (
        SLABS <= short <= 3 * SLABS
    )  # with thin windows the buffers of the store weigh as much as half a slab
    assert long <= 1.25 * short
