"""Attributions of a device against autograd and Shapley's formula through the stitched volume, on the CPU."""

import itertools

import numpy as np
import pytest
import torch

from agg2exp_core import attribute
from agg2exp_core.attribution.gradient import QUADRATURES
from tests.gpu.cases import image_of, off_by, small
from tests.networks import CLASS_NAMES
from tests.reference import attributions as twin
from tests.reference import shapley as shapley_twin

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
SHAPES = [(13, 9, 17), (5, 12, 8)]  # overlaps that are cut short, and padding
METHODS = {
    "vanilla_gradient": {},
    "smoothgrad": {"n_samples": 3, "sigma": 0.2},
    "integrated_gradients": {"n_steps": 4},
}
CASES = [
    ("vanilla_gradient", blend, overlap, SHAPES[0], 1)
    for blend, overlap in itertools.product(("constant", "gaussian"), (0.25, 0.5))
] + [
    ("smoothgrad", "gaussian", 0.5, SHAPES[1], 1),
    ("integrated_gradients", "constant", 0.25, SHAPES[1], 1),
    ("vanilla_gradient", "gaussian", 0.25, SHAPES[1], 2),
]


def truth(method, model, image, c):
    """Eq. 3 to 5 in float64, nothing streamed."""
    if method == "vanilla_gradient":
        return twin.vanilla_gradient(model, image, c)
    if method == "smoothgrad":
        return twin.smoothgrad(model, image, c, 3, 0.2, 0)
    return twin.integrated_gradients(model, image, c, *QUADRATURES["right"](4))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("window_batch", [1, 4])
@pytest.mark.parametrize(("method", "blend", "overlap", "shape", "n_channels"), CASES)
def test_gradients(device, dtype, window_batch, method, blend, overlap, shape, n_channels):
    settings = {"n_channels": n_channels, "overlap": overlap, "blend": blend}
    exact, model = small("cpu", **settings), small(device, dtype, **settings)
    image = image_of(shape, n_channels=n_channels)
    params = METHODS[method] | {"window_batch": window_batch}
    items = list(attribute(model, image.to(dtype), method, **params))
    assert [CLASS_NAMES.index(item.class_name) for item in items] == twin.present_classes(exact, image)
    for item in items:
        expected = truth(method, exact, image, CLASS_NAMES.index(item.class_name))
        assert off_by(item.values, expected.numpy().reshape(item.values.shape)) <= TOLERANCE[dtype]


@pytest.mark.parametrize("window_batch", [1, 8])
@pytest.mark.parametrize("players", ["cubes", "semantic"])
def test_shapley_values(device, players, window_batch):
    exact, model = small("cpu", overlap=0.25), small(device, overlap=0.25)
    image = image_of((9, 12, 8))
    labels = twin.f(exact, image).detach().argmax(0).numpy()
    ids = shapley_twin.cubes(labels.shape, 6) if players == "cubes" else labels
    phi = shapley_twin.scan_values(exact, image, torch.zeros_like(image), ids, "sum")
    params = {"cube_side": 6} if players == "cubes" else {}
    for item in attribute(model, image, f"shapley_{players}", window_batch=window_batch, **params):
        c = CLASS_NAMES.index(item.class_name)
        expected = np.zeros(ids.shape)
        for player, values in phi.items():
            expected[ids == player] = values[c] / (ids == player).sum()
        assert off_by(item.values, expected) <= 1e-10
