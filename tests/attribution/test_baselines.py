"""Baselines by hand, and the same for path and supervoxel methods."""

import numpy as np
import pytest
import torch

from agg2exp_core.attribution import attribute, is_default, make_method, parameters
from agg2exp_core.attribution.baselines import BLUR_SIGMA_VOXELS, baseline_image, parse_baseline
from agg2exp_core.attribution.gradient import QUADRATURES
from agg2exp_core.errors import UsageError
from agg2exp_core.volumes import CTPreprocessing, MonaiPreprocessing
from tests.networks import CLASS_NAMES, random_image, smooth_model
from tests.reference import attributions as twin

IMAGE = random_image(2, 5, 6, 7)


def of(name, image=IMAGE, **settings):
    return baseline_image(parse_baseline(name), image, smooth_model(n_channels=2, **settings))


def test_constants():
    assert (of("zero") == 0).all()
    assert (of("0.2") == 0.2).all()
    assert (of(-3) == -3).all()
    assert of("zero").shape == IMAGE.shape
    assert of("zero").dtype == IMAGE.dtype


def test_the_mean_is_the_scans_own_in_each_channel():
    for channel in (0, 1):
        assert of("mean")[channel].unique().item() == pytest.approx(IMAGE[channel].mean().item(), rel=1e-12)


def test_air_goes_through_the_preprocessing_for_ct():
    assert of("air").unique().item() == pytest.approx(24 / 2048)
    window = CTPreprocessing(hu_range=(-160.0, 240.0))
    assert of("air", preprocessing=window).unique().item() == 0
    with pytest.raises(UsageError, match="not the one for CT"):
        of("air", preprocessing=MonaiPreprocessing([], {}))


def test_blur_is_a_gaussian_mean_of_what_is_near():
    image = torch.zeros(1, 121, 3, 3, dtype=torch.float64)
    image[0, 60] = 1
    blurred = baseline_image("blur", image, smooth_model())[0, :, 1, 1].numpy()
    distance = np.arange(121) - 60
    gaussian = np.exp(-(distance**2) / (2 * BLUR_SIGMA_VOXELS**2))
    gaussian[np.abs(distance) > 4 * BLUR_SIGMA_VOXELS] = 0  # where the kernel ends
    np.testing.assert_allclose(blurred, gaussian / gaussian.sum(), atol=1e-12)
    flat = torch.full((1, 4, 5, 6), 0.3, dtype=torch.float64)
    assert torch.allclose(baseline_image("blur", flat, smooth_model()), flat)


def test_one_baseline_has_one_spelling():
    for text in ("zero", "0", 0, 0.0, "-0.0", " 0.00 "):
        method = make_method("integrated_gradients", {"baseline": text})
        assert is_default(method)
    assert parameters(make_method("shapley_cubes", {"baseline": "0.20"}))["baseline"] == "0.2"
    assert parse_baseline(0.2) == parse_baseline("2e-1")
    for text in ("black", "nan", "inf", ""):
        with pytest.raises(UsageError, match="zero, mean, blur, air or a number"):
            make_method("kernelshap_semantic", {"baseline": text})


@pytest.mark.parametrize("name", ["mean", "air", "blur", "0.3"])
def test_integrated_gradients_start_there(name):
    model = smooth_model(overlap=0.25)
    image = random_image(1, 5, 12, 10)
    start = baseline_image(name, image, model)
    nodes, weights = QUADRATURES["midpoint"](3)
    params = {"n_steps": 3, "quadrature": "midpoint", "baseline": name}
    for item in attribute(model, image, "integrated_gradients", **params):
        c = CLASS_NAMES.index(item.class_name)
        expected = twin.integrated_gradients(model, image, c, nodes, weights, start)[0].numpy()
        np.testing.assert_allclose(item.values, expected, rtol=0, atol=1e-10 * np.abs(expected).max())
