"""A GPU gives the bits that it gave, those of any group of classes, and the CPU's matrices."""

import numpy as np
import pytest
import torch

from agg2exp_core import attribute, local_importance
from agg2exp_core.attribution import Problem
from agg2exp_core.attribution.gradient import SmoothGrad
from agg2exp_core.attribution.masks import choose_aggregation
from tests.gpu.cases import packaged, phantom

MODELS = ["thorax_phantom", "swin_unetr_v2_small"]
METHODS = {
    "vanilla_gradient": {},
    "smoothgrad": {"n_samples": 2},
    "integrated_gradients": {"n_steps": 2},
    "shapley_cubes": {"n_cubes": 8, "max_exact_players": 5, "n_samples": 32},
}
pytestmark = pytest.mark.gpu


def explained(name, device, method, classes=None, **how):
    image, clean = phantom()
    items = attribute(packaged(name, device), image, method, classes, clean, **METHODS[method], **how)
    return list(items)


def bits(items):
    return {item.class_name: item.values.tobytes() for item in items}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", MODELS)
def test_equal_settings_give_equal_bits(gpu, name, method):
    assert bits(explained(name, gpu, method)) == bits(explained(name, gpu, method))


@pytest.mark.parametrize("aggregation", ["sum", "mean", "probability"])
def test_equal_bits_of_each_aggregation(gpu, aggregation):
    first, second = (
        bits(explained("thorax_phantom", gpu, "vanilla_gradient", aggregation=aggregation)) for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("window_batch", [1, 4])
def test_any_group_of_classes_gives_the_same_bits(gpu, method, window_batch):
    together = bits(explained("thorax_phantom", gpu, method, window_batch=window_batch))
    present = phantom()[1].present
    for name in (present[0], present[-1]):
        alone = bits(explained("thorax_phantom", gpu, method, [name], window_batch=window_batch))
        assert alone[name] == together[name]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", MODELS)
def test_any_batch_and_the_cpu_give_the_same_matrix(gpu, figure, name, method):
    _, clean = phantom()
    how = {"cpu": ("cpu", 1), "one": (gpu, 1), "four": (gpu, 4)}
    matrices = {
        key: local_importance(explained(name, device, method, window_batch=n), clean)["mass"].values
        for key, (device, n) in how.items()
    }
    for other, what in (("cpu", "the CPU"), ("four", "4 windows in a pass")):
        change = np.nanmax(np.abs(matrices["one"] - matrices[other]))
        figure(f"{name}, {method}: matrix against {what} {change:.1e}")
        assert change <= 1e-4


def test_noise_is_the_same_on_both_devices(gpu):
    image, clean = phantom()
    aggregation = choose_aggregation("sum", None)
    scans = []
    for device in ("cpu", gpu):
        problem = Problem.of(packaged("thorax_phantom", device), image, clean, aggregation)
        points = SmoothGrad(n_samples=2).points(problem)
        scans.append([point.read(slice(3, 20)).cpu() for point in points])
    assert all(torch.equal(*pair) for pair in zip(*scans, strict=True))
