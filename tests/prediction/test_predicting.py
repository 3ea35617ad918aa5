"""A prediction is read off finished planes: the numbers of all logits, in the memory of a slab."""

import numpy as np
import pytest
import torch

from agg2exp_core.prediction import predict, prediction_bytes, sliding_logits
from agg2exp_core.windows import Tiling
from tests.networks import random_image, smooth_model

SHAPES = [(9, 13, 20), (29, 8, 9), (5, 20, 6), (3, 4, 5)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("window_batch", [1, 3])
@pytest.mark.parametrize("n_channels", [1, 2])
def test_a_prediction_is_what_all_logits_say(shape, window_batch, n_channels):
    model = smooth_model(torch.float32, n_channels, overlap=0.5, blend="gaussian")
    image = random_image(n_channels, *shape, dtype=torch.float32)
    logits = sliding_logits(model, image, window_batch=window_batch)
    prediction = predict(model, image, window_batch=window_batch)
    np.testing.assert_array_equal(prediction.labels, logits.argmax(dim=0).numpy())
    np.testing.assert_array_equal(prediction.own_logit, logits.amax(dim=0).numpy())
    own_probability = torch.softmax(logits.double(), dim=0).amax(dim=0)
    np.testing.assert_allclose(prediction.own_probability, own_probability.numpy(), rtol=1e-6)
    assert prediction.own_probability.dtype == np.float32


def test_logits_are_foreseen_for_a_slab():
    model = smooth_model(torch.float32)
    short, long = (prediction_bytes(model, Tiling(model.windows, (n, 64, 64))) for n in (100, 1100))
    read_off = 4 * (model.n_channels + 2) + 2
    assert long - short == 1000 * 64 * 64 * read_off
    assert long < 1100 * 64 * 64 * 4 * model.n_classes + long - short


def test_doubt_is_that_of_the_softmax_over_the_voxels_of_a_class():
    model = smooth_model(torch.float32, 1, overlap=0.5, blend="gaussian")
    image = random_image(1, 9, 13, 20, dtype=torch.float32)
    probabilities = torch.softmax(sliding_logits(model, image).double(), dim=0).numpy()
    entropy = -(probabilities * np.log(probabilities)).sum(axis=0)
    prediction = predict(model, image)
    assert set(prediction.entropy) == set(prediction.uncertainty) == set(prediction.present)
    for name in prediction.present:
        inside = prediction.mask(name)
        assert prediction.entropy[name] == pytest.approx(entropy[inside].mean(), rel=1e-4)
        largest = probabilities.max(axis=0)[inside]
        assert prediction.uncertainty[name] == pytest.approx(1 - largest.mean(), rel=1e-4)
