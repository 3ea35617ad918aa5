"""The working set of explaining a stored scan does not grow with the scan, but for its image."""

import os
import subprocess
import sys

import pytest

MEASURE = """
import sys, tempfile
from pathlib import Path
import numpy as np, psutil, torch
from torch import nn
from agg2exp_core.models import wrap_network
from agg2exp_core.pipeline import ExplainSettings, explain
from agg2exp_core.store import open_store
from agg2exp_core.types import Grid, Prediction, Scan

torch.set_num_threads(1)
torch.manual_seed(0)
names = tuple("abcdefghijkl")
network = nn.Sequential(nn.Conv3d(1, 2, 3, padding=1), nn.GELU(), nn.Conv3d(2, len(names), 1))
model = wrap_network(network, names, (32, 32, 32), 0.0)
explain.model_of = lambda settings: model


def attribute(folder, n_planes):
    shape = (n_planes, 128, 128)
    labels = (np.indices(shape, np.uint8).sum(axis=0) % len(names)).astype(np.uint8)
    flat = np.ones(shape, np.float32)
    scan = Scan(f"s{n_planes}", torch.rand(1, *shape), np.eye(4), Grid(shape, np.eye(4)), "abc")
    there = open_store(folder, create=True).scan(scan.scan_id)
    there.write_image(scan)
    there.write_prediction(Prediction(labels, names, flat, flat), "i")
    held = scan.image.nbytes + 3 * labels.size  # and labels as stored, and as int16 with one for padding
    settings = ExplainSettings(store=folder, model="small", params={"n_samples": 1})
    del labels, flat, scan
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before = psutil.Process().memory_info().rss
    assert explain.attribute_classes(there.scan_id, "abc", list(names), settings) == len(names)
    (peak,) = [line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
    return int(peak.split()[1]) * 1024 - before - held


with tempfile.TemporaryDirectory() as folder:
    attribute(folder, 32)
    print(attribute(folder, int(sys.argv[1])))
"""

SLABS = 12 * 32 * 128 * 128 * 4


def peak(n_planes):
    freed_at_once = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1048576"}  # or the peak is the heap's history
    command = [sys.executable, "-c", MEASURE, str(n_planes)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=freed_at_once)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.slow
def test_a_scan_three_times_as_long_takes_the_same_memory():
    short, long = peak(64), peak(192)
    assert (
        SLABS <= short <= 3 * SLABS
    )  # with thin windows the buffers of the store weigh as much as half a slab
    assert long <= 1.25 * short
