"""What a run will cost is known before it: passes are bounds, memory is the measured one."""

import json
import os
import subprocess
import sys

import pytest
from torch import nn

from agg2exp_core.attribution import Execution, Geometry, Method, attribute, estimate, make_method
from agg2exp_core.errors import ModelError
from agg2exp_core.execution import WindowCost, measure_window
from agg2exp_core.models import wrap_network
from agg2exp_core.types import WindowSettings
from agg2exp_core.windows import Tiling
from tests.networks import random_image, smooth_model

COST = WindowCost(forward_seconds=2.0, backward_seconds=3.0, n_bytes=1000)
SHAPE = (13, 9, 10)
METHODS = [
    ("vanilla_gradient", {}),
    ("vanilla_gradient", {"aggregation": "median"}),
    ("vanilla_gradient", {"aggregation": "margin"}),
    ("smoothgrad", {"n_samples": 3}),
    ("integrated_gradients", {"n_steps": 3}),
    ("integrated_gradients", {"n_steps": 3, "aggregation": "median"}),
    ("shapley_cubes", {"cube_side": 6}),
    ("shapley_semantic", {"aggregation": "margin"}),
    ("kernelshap_cubes", {"cube_side": 7, "n_samples": 60}),
    ("kernelshap_semantic", {}),
]


def paper_geometry():
    windows = WindowSettings(shape=(96, 96, 96), overlap=0.25)
    return Geometry(Tiling(windows, (300, 300, 300)), n_channels=1, n_classes=17, n_explained=17)


def test_shapley_values_of_the_papers_geometry():
    geometry = paper_geometry()
    assert geometry.n_windows == 64
    assert make_method("shapley_cubes").passes(geometry) == (2544, 0)


def test_gradients_of_the_papers_geometry():
    assert make_method("vanilla_gradient").passes(paper_geometry()) == (64, 64 * 17)
    assert make_method("smoothgrad").passes(paper_geometry()) == (64 * 20, 64 * 17 * 20)


@pytest.mark.parametrize(("name", "params"), METHODS)
@pytest.mark.parametrize("class_batch", [None, 2])
def test_no_more_passes_than_planned(name, params, class_batch):
    model = smooth_model(overlap=0.25)
    method = make_method(name, params)
    execution = Execution(class_batch=class_batch)
    image = random_image(1, *SHAPE)
    n_present = len(list(attribute(model, image, "vanilla_gradient")))
    found = estimate(model, method, SHAPE, n_present, execution, COST)
    counts = {"forward": -found.n_windows, "backward": 0}  # the segmentation does not count
    model.network.register_forward_pre_hook(lambda *_: counts.update(forward=counts["forward"] + 1))
    model.network[0].register_full_backward_hook(lambda *_: counts.update(backward=counts["backward"] + 1))
    list(attribute(model, image, method, execution=execution))
    assert 0 < counts["forward"] <= found.passes.forward
    assert counts["backward"] <= found.passes.backward
    if params.get("aggregation") != "median":
        assert found.passes.forward <= 2 * counts["forward"]
    assert found.seconds == 2 * (found.passes.forward + found.n_windows) + 3 * found.passes.backward


def test_a_method_that_does_not_count_has_an_unknown_cost():
    class Uncounted(Method):
        def explain(self, problem, classes): ...

    found = estimate(smooth_model(), Uncounted(), SHAPE, 4, Execution(), COST)
    assert (found.passes, found.seconds) == (None, None)
    assert found.n_windows == 8
    assert found.peak_bytes > 0


def test_what_cannot_fit_is_refused():
    model, method = smooth_model(), make_method("vanilla_gradient")
    estimate(model, method, (64, 64, 64), 4, Execution(), COST)
    with pytest.raises(ModelError, match=r"9000 x 9000 x 9000 voxels .* needs .* GB of memory on cpu"):
        estimate(model, method, (9000, 9000, 9000), 4, Execution(), COST)
    with pytest.raises(ModelError, match="7 windows in a pass"):
        estimate(model, method, SHAPE, 4, Execution(window_batch=7), WindowCost(1.0, 1.0, 10**13))


def test_the_cost_of_a_window_by_hand():
    """A layer without a bias, then a square: the graph holds the layer's output, the logits besides."""

    class Square(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv3d(1, 2, 1, bias=False)

        def forward(self, x):
            return self.layer(x) ** 2

    model = wrap_network(Square(), ("a", "b"), (8, 8, 8))
    cost = measure_window(model)
    window = 8**3 * 4
    held = window + 2 * window  # input of the layer, its output
    assert cost.n_bytes == held + 2 * (2 * window) + 3 * (2 * window)
    assert cost.forward_seconds > 0
    assert cost.backward_seconds > 0


MEASURE = """
import json
from pathlib import Path
import psutil, torch
from torch import nn
from agg2exp_core.attribution import Execution, attribute_planes, estimate, make_method
from agg2exp_core.execution import measure_window
from agg2exp_core.models import wrap_network

torch.set_num_threads(1)
torch.manual_seed(0)
network = nn.Sequential(nn.Conv3d(1, 8, 3, padding=1), nn.GELU(), nn.Conv3d(8, 3, 3, padding=1))
model = wrap_network(network, "abc", (32, 32, 32), 0.0)
method = make_method("smoothgrad", {"n_samples": 1})
cost = measure_window(model)
for _ in attribute_planes(model, torch.rand(1, 32, 32, 32), method):
    pass
shape = (128, 128, 96)
image = torch.rand(1, *shape)
predicted = estimate(model, method, shape, 3, Execution(), cost).peak_bytes
before = psutil.Process().memory_info().rss
for _ in attribute_planes(model, image, method):
    pass
(line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
peak = int(line.split()[1]) * 1024
print(json.dumps([predicted, peak - before]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.slow
def test_memory_is_what_was_predicted():
    freed_at_once = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1048576"}  # or the peak is the heap's history
    command = [sys.executable, "-c", MEASURE]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=freed_at_once)
    predicted, measured = json.loads(done.stdout)
    assert measured <= predicted <= 3 * measured
