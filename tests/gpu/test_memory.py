"""Memory of a GPU: the plan tells it, long scans take no more, and running out of it changes no bit."""

import gc

import pytest
import torch
from monai.networks.nets import UNet

from agg2exp_core import attribute, predict, wrap_network
from agg2exp_core.attribution import Execution, attribute_planes, estimate, make_method
from agg2exp_core.execution import fitting, measure_window
from tests.networks import random_image

pytestmark = pytest.mark.gpu
NAMES = tuple("abcdef")


@pytest.fixture
def model(gpu, monkeypatch):
    """A network whose passes take most of the memory, on a GPU where nothing is learnt yet."""
    monkeypatch.setattr(fitting, "_chosen", {})
    monkeypatch.setattr(fitting, "_limits", {})
    torch.manual_seed(0)
    network = UNet(3, 1, len(NAMES), (32, 64, 128), (2, 2), num_res_units=2, norm="instance")
    yield wrap_network(network, NAMES, (64, 64, 64), device=gpu)
    torch.cuda.set_per_process_memory_fraction(1.0)
    gc.collect()
    torch.cuda.empty_cache()


def started():
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated()


def peak(model, image, **how):
    """Return the bytes that explaining takes on top of what is loaded."""
    clean = predict(model, image)
    before = started()
    for _ in attribute_planes(model, image, "smoothgrad", None, clean, n_samples=2, **how):
        pass
    return torch.cuda.max_memory_allocated() - before


def test_running_out_halves_the_batch_and_keeps_the_bits(model, figure):
    image = random_image(1, 112, 160, 160, dtype=torch.float32)
    clean = predict(model, image, window_batch=1)
    explain = {"method": "smoothgrad", "prediction": clean, "n_samples": 4}
    peaks, expected = {}, {}
    for n in (1, 2, 4):
        started()
        items = attribute(model, image, window_batch=n, **explain)
        expected[n] = {item.class_name: item.values.tobytes() for item in items}
        peaks[n] = torch.cuda.max_memory_reserved()
    started()
    limit = (peaks[2] + peaks[4]) // 2
    _, total = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction(limit / total)
    passed = []
    hook = model.network.register_forward_hook(lambda module, args, logits: passed.append(len(logits)))
    items = list(attribute(model, image, window_batch=8, **explain))
    hook.remove()
    figure(f"out of memory under {limit / 1e9:.2f} GB: batches of {list(dict.fromkeys(passed))}")
    fitted = fitting.fit_windows(model, 8)
    assert max(passed) > fitted
    assert {item.class_name: item.values.tobytes() for item in items} == expected[fitted]


@pytest.mark.parametrize("window_batch", [1, 4])
def test_the_plan_tells_the_peak(model, figure, window_batch):
    image = random_image(1, 112, 128, 128, dtype=torch.float32)
    execution = Execution(window_batch=window_batch)
    method = make_method("smoothgrad", {"n_samples": 2})
    measure_window(model)  # what libraries take once
    cost = measure_window(model)
    planned = estimate(model, method, (112, 128, 128), len(NAMES), execution, cost).peak_bytes
    measured = peak(model, image, window_batch=window_batch)
    figure(f"{window_batch} windows: planned {planned / 1e9:.3f} GB, measured {measured / 1e9:.3f} GB")
    assert 0.75 <= planned / measured <= 1.25


def test_a_scan_three_times_as_long_takes_no_more(model, figure):
    short, long = (
        peak(model, random_image(1, n, 128, 128, dtype=torch.float32), window_batch=1) for n in (112, 336)
    )
    figure(f"peak of a scan three times as long: {long / short:.3f} times")
    assert long <= 1.1 * short
