import pytest
import torch

from agg2exp_core import attribute, predict
from agg2exp_core.errors import UsageError
from agg2exp_core.models import with_precision
from tests.networks import random_image, smooth_model


def test_full_precision_is_the_model_itself():
    model = smooth_model(torch.float32)
    assert with_precision(model, "float32") is model


def test_fewer_bits_are_another_model_with_numbers_near():
    model, image = smooth_model(torch.float32), random_image(1, 9, 8, 10, dtype=torch.float32)
    mixed = with_precision(model, "bfloat16")
    assert mixed.fingerprint != model.fingerprint
    assert mixed.logits(image[None, :, :8, :, :8]).dtype == torch.float32
    prediction = predict(model, image)
    exact = {e.class_name: e.values for e in attribute(model, image, "vanilla_gradient", None, prediction)}
    for item in attribute(mixed, image, "vanilla_gradient", None, prediction):
        error = abs(item.values - exact[item.class_name]).max() / abs(exact[item.class_name]).max()
        assert 0 < error < 0.05


def test_tf32_is_of_gpus_alone():
    with pytest.raises(UsageError, match="'tf32' on cpu"):
        with_precision(smooth_model(torch.float32), "tf32")


@pytest.mark.parametrize(("dtype", "precision"), [(torch.float64, "bfloat16"), (torch.float32, "int8")])
def test_what_cannot_be_computed_in_fewer_bits_is_refused(dtype, precision):
    with pytest.raises(UsageError, match="precision"):
        with_precision(smooth_model(dtype), precision)
