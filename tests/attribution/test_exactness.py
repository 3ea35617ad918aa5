"""Streamed attributions equal autograd through the whole stitched volume."""

import numpy as np
import pytest
import torch

from agg2exp_core.attribution import attribute
from agg2exp_core.attribution.gradient import QUADRATURES
from tests.networks import CLASS_NAMES, random_image, smooth_model
from tests.reference import attributions as twin

SHAPES = [(8, 8, 8), (13, 9, 17), (5, 12, 8), (3, 4, 5)]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def assert_equal_to_peak(item, expected, dtype):
    peak = float(expected.abs().max())
    assert peak > 0
    error = np.abs(item.values - expected.squeeze(0).numpy()).max() / peak
    assert error <= TOLERANCE[dtype]


def explained(model, image, **settings):
    items = list(attribute(model, image, **settings))
    names = [CLASS_NAMES[c] for c in twin.present_classes(model, image)]
    assert [item.class_name for item in items] == names
    assert len(names) >= 2
    return [(CLASS_NAMES.index(item.class_name), item) for item in items]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("blend", ["constant", "gaussian"])
@pytest.mark.parametrize("overlap", [0, 0.25, 0.5])
@pytest.mark.parametrize("shape", SHAPES)
def test_vanilla_gradient(dtype, blend, overlap, shape):
    model = smooth_model(dtype, overlap=overlap, blend=blend)
    image = random_image(1, *shape, dtype=dtype)
    for c, item in explained(model, image, method="vanilla_gradient"):
        assert item.values.shape == shape
        assert_equal_to_peak(item, twin.vanilla_gradient(model, image, c), dtype)


@pytest.mark.parametrize("blend", ["constant", "gaussian"])
@pytest.mark.parametrize("shape", [(13, 9, 10), (5, 12, 8)])
@pytest.mark.parametrize("aggregation", ["sum", "mean", "probability", "margin", "median"])
def test_aggregations(blend, shape, aggregation):
    model = smooth_model(overlap=0.5, blend=blend)
    image = random_image(1, *shape)
    for c, item in explained(model, image, method="vanilla_gradient", aggregation=aggregation):
        expected = twin.vanilla_gradient(model, image, c, aggregation)
        assert_equal_to_peak(item, expected, torch.float64)


def test_a_mask_in_place_of_the_predicted_ones():
    model = smooth_model(overlap=0.25)
    image = random_image(1, 13, 9, 10)
    roi = np.zeros((13, 9, 10), bool)
    roi[2:5, 3:7, 1:9] = True
    items = list(attribute(model, image, "vanilla_gradient", aggregation="roi", roi=roi))
    assert len(items) == len(CLASS_NAMES)
    for c, item in enumerate(items):
        expected = twin.vanilla_gradient(model, image, c, "roi", roi=roi)
        assert_equal_to_peak(item, expected, torch.float64)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("aggregation", ["sum", "mean", "margin", "median"])
@pytest.mark.parametrize("shape", [(13, 9, 10), (5, 12, 8)])
def test_smoothgrad(dtype, aggregation, shape):
    model = smooth_model(dtype, overlap=0.5, blend="gaussian")
    image = random_image(1, *shape, dtype=dtype)
    settings = {"n_samples": 3, "sigma": 0.2, "aggregation": aggregation}
    for c, item in explained(model, image, method="smoothgrad", seed=5, **settings):
        expected = twin.smoothgrad(model, image, c, 3, 0.2, 5, aggregation)
        assert_equal_to_peak(item, expected, dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("aggregation", ["sum", "margin", "median"])
@pytest.mark.parametrize("quadrature", QUADRATURES)
def test_integrated_gradients(dtype, aggregation, quadrature):
    model = smooth_model(dtype, overlap=0.25)
    image = random_image(1, 5, 12, 10, dtype=dtype)
    nodes, weights = QUADRATURES[quadrature](4)
    settings = {"n_steps": 4, "quadrature": quadrature, "baseline": 0.1, "aggregation": aggregation}
    for c, item in explained(model, image, method="integrated_gradients", **settings):
        expected = twin.integrated_gradients(model, image, c, nodes, weights, 0.1, aggregation)
        assert_equal_to_peak(item, expected, dtype)


def test_several_channels():
    model = smooth_model(n_channels=2, overlap=0.25)
    image = random_image(2, 13, 9, 10)
    for c, item in explained(model, image, method="vanilla_gradient"):
        assert item.values.shape == (2, 13, 9, 10)
        expected = twin.vanilla_gradient(model, image, c)
        np.testing.assert_allclose(item.values, expected.numpy(), rtol=0, atol=1e-10 * expected.abs().max())


def test_completeness_residual_is_what_is_missing():
    model = smooth_model(overlap=0.25)
    image = random_image(1, 12, 9, 10)
    start = torch.zeros_like(image)
    residuals = {}
    for n_steps in (2, 32):
        for c, item in explained(model, image, method="integrated_gradients", n_steps=n_steps):
            with torch.no_grad():
                rise = twin.f_hat(model, image, image, c, "sum") - twin.f_hat(model, start, image, c, "sum")
            assert item.info["output_difference"] == pytest.approx(float(rise), rel=1e-9)
            residual = abs((item.values.sum() - float(rise)) / float(rise))
            assert item.info["completeness_residual"] == pytest.approx(residual, rel=1e-6, abs=1e-12)
            residuals[n_steps, c] = residual
    assert sum(r for (n, _), r in residuals.items() if n == 32) < 0.2 * sum(
        r for (n, _), r in residuals.items() if n == 2
    )
