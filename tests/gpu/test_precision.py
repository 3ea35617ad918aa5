"""What fewer bits change, and that nobody gets them unasked."""

import warnings

import numpy as np
import pytest
import torch

from agg2exp_core import attribute, local_importance, predict
from agg2exp_core.models import PRECISIONS, with_precision
from tests.gpu.cases import image_of, off_by, packaged, phantom, small

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["thorax_phantom", "swin_unetr_v2_small"])
def test_errors_of_maps_and_matrices(gpu, figure, name, precision):
    """Against the CPU in float32: rounding alone moves single voxels where activations have kinks."""
    image, clean = phantom()
    explained = [
        list(attribute(model, image, "vanilla_gradient", None, clean))
        for model in (packaged(name, "cpu"), with_precision(packaged(name, gpu), precision))
    ]
    maps = [
        np.linalg.norm(b.values - a.values) / np.linalg.norm(a.values)
        for a, b in zip(*explained, strict=True)
    ]
    exact, rough = (local_importance(items, clean)["mass"].values for items in explained)
    change = np.nanmax(np.abs(exact - rough))
    said = f"maps off by {np.median(maps):.1e} (median class) to {max(maps):.1e}, matrix by {change:.1e}"
    figure(f"{name} in {precision}: {said}")
    assert np.isfinite(maps).all()
    if precision == "float32":
        assert change <= 1e-4


def test_tf32_is_used_when_asked_and_only_then(gpu):
    """Whatever PyTorch's own switches say."""
    exact, image = small("cpu"), image_of((13, 9, 17))
    (truth, *_) = attribute(exact, image, "vanilla_gradient")
    model = small(gpu, torch.float32)
    errors = {}
    for level in ("highest", "high"):
        torch.set_float32_matmul_precision(level)
        for precision in ("float32", "tf32"):
            (item, *_) = attribute(
                with_precision(model, precision),
                image.float(),
                "vanilla_gradient",
                None,
                predict(exact, image),
            )
            errors[level, precision] = off_by(item.values, truth.values)
    torch.set_float32_matmul_precision("highest")
    for level in ("highest", "high"):
        assert errors[level, "float32"] <= 1e-5
        assert errors[level, "tf32"] > 10 * errors[level, "float32"]


@pytest.mark.parametrize("name", ["thorax_phantom", "swin_unetr_v2_small"])
def test_each_operation_has_a_kernel_with_equal_bits(gpu, figure, name):
    image, clean = phantom()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        next(attribute(packaged(name, gpu), image, "vanilla_gradient", None, clean))
    messages = [str(warning.message) for warning in said if "eterministic" in str(warning.message)]
    names = sorted({message.partition(" does not have")[0] for message in messages})
    figure(f"{name}: operations without such a kernel: {', '.join(names) or 'none'}")
    assert not names
