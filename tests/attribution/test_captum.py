"""Captum's methods on whole scans: equal to Captum on MONAI's stitched volume, and to ours."""

import captum.attr
import numpy as np
import pytest
import torch
from torch import nn

from agg2exp_core.attribution import Geometry, attribute, make_method
from agg2exp_core.errors import UsageError
from agg2exp_core.models import wrap_network
from agg2exp_core.types import Prediction
from agg2exp_core.windows import Tiling
from tests.networks import CLASS_NAMES, random_image, smooth_model
from tests.reference import attributions as twin

IMAGE = random_image(1, 13, 9, 6)
MODEL = smooth_model(overlap=0.25, blend="gaussian")
FEATURES = torch.arange(13 * 9 * 6).reshape(13, 9, 6) // 200  # four
ORACLES = {
    "Saliency": ({}, {}),
    "InputXGradient": ({}, {}),
    "IntegratedGradients": ({"n_steps": 4}, {"n_steps": 4, "internal_batch_size": 1}),
    "Occlusion": (
        {"sliding_window_shapes": "6,5,4", "strides": "4,4,2", "baselines": "0.5"},
        {"sliding_window_shapes": (1, 6, 5, 4), "strides": (1, 4, 4, 2), "baselines": 0.5},
    ),
    "FeatureAblation": ({"feature_mask": FEATURES.numpy()}, {"feature_mask": FEATURES[None, None]}),
    "ShapleyValues": ({"feature_mask": FEATURES.numpy()}, {"feature_mask": FEATURES[None, None]}),
}


def values(method, model=MODEL, image=IMAGE, **params):
    return {item.class_name: item.values for item in attribute(model, image, method, **params)}


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize("aggregation", ["sum", "median"])
def test_equal_to_captum_on_the_stitched_volume(name, aggregation):
    ours, theirs = ORACLES[name]
    found = values(f"captum:{name}", aggregation=aggregation, **ours)
    assert len(found) >= 2
    for class_name, attribution in found.items():
        c = CLASS_NAMES.index(class_name)
        oracle = getattr(captum.attr, name)(
            lambda x, c=c: torch.stack([twin.f_hat(MODEL, image, IMAGE, c, aggregation) for image in x])
        )
        expected = oracle.attribute(IMAGE[None].clone().requires_grad_(), **theirs)[0, 0].detach().numpy()
        assert np.abs(attribution - expected).max() <= 1e-5 * np.abs(expected).max()


def test_equal_to_our_own():
    gradient = values("vanilla_gradient")
    saliency = values("captum:Saliency", abs="false")
    assert {name: v.tobytes() for name, v in gradient.items()} == {
        n: v.tobytes() for n, v in saliency.items()
    }
    settings = {"n_steps": 5}
    captums = values("captum:IntegratedGradients", **settings)
    for name, ours in values("integrated_gradients", quadrature="gauss_legendre", **settings).items():
        assert np.abs(captums[name] - ours).max() <= 1e-6 * np.abs(ours).max()  # its nodes are float32


def linear_model():
    """Logits 0 and 2x + 1: all that can be worked out by hand."""
    network = nn.Conv3d(1, 2, 1)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([0.0, 2.0]).reshape(2, 1, 1, 1, 1))
        network.bias.copy_(torch.tensor([0.0, 1.0]))
    return wrap_network(network, ("background", "organ"), (4, 4, 4), 0.5)


def test_linear_network_by_hand():
    model, image = linear_model(), random_image(1, 6, 4, 4, dtype=torch.float32)
    expected = 2 * image[0].numpy()  # all of it is organ
    occluded = values("captum:Occlusion", model, image, sliding_window_shapes="1,1,1")["organ"]
    np.testing.assert_allclose(occluded, expected, atol=1e-5)
    slabs = image[0].reshape(3, 2, 4, 4).sum((1, 2, 3)) * 2
    per_slab = values("captum:Occlusion", model, image, sliding_window_shapes="2,4,4", strides="2,4,4")[
        "organ"
    ]
    np.testing.assert_allclose(per_slab[::2, 0, 0], slabs.numpy(), rtol=1e-5)
    for name in ("GuidedBackprop", "Deconvolution"):
        np.testing.assert_allclose(values(f"captum:{name}", model, image)["organ"], 2.0, rtol=1e-6)
    shap = values("captum:GradientShap", model, image, n_samples=2)["organ"]
    np.testing.assert_allclose(shap, expected, atol=1e-5)


def test_kernel_shap_of_an_additive_game_is_exact():
    model, image = linear_model(), random_image(1, 6, 4, 4, dtype=torch.float32)
    mask = np.repeat([0, 7, 9], 2)[:, None, None] * np.ones((1, 4, 4), int)  # ids need not be consecutive
    found = values("captum:KernelShap", model, image, feature_mask=mask, n_samples=60)["organ"]
    expected = image[0].reshape(3, 2, 4, 4).sum((1, 2, 3)).numpy() * 2
    np.testing.assert_allclose(found[::2, 0, 0], expected, rtol=1e-3)
    by_cubes = values("captum:FeatureAblation", model, image, feature_mask="cubes:4")["organ"]
    np.testing.assert_allclose(by_cubes[0, 0, 0], 2 * image[0, :4].sum(), rtol=1e-5)


def test_hooked_methods_reach_every_window():
    network = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv3d(4, 2, 3, padding=1)).double()
    model = wrap_network(network, ("a", "b"), (8, 8, 8), 0.0)
    image = random_image(1, 16, 8, 8)
    labels = np.zeros((16, 8, 8), np.uint8)
    prediction = Prediction(labels, ("a", "b"), np.ones(labels.shape), np.ones(labels.shape))
    found = values("captum:GuidedBackprop", model, image, prediction=prediction)["a"]
    summed = nn.Sequential(network, nn.Flatten(2))
    for half in (slice(0, 8), slice(8, 16)):
        oracle = captum.attr.GuidedBackprop(_Summed(summed))
        with pytest.warns(UserWarning, match="hooks"):
            expected = oracle.attribute(image[None, :, half].clone().requires_grad_(), target=0)
        np.testing.assert_allclose(found[half], expected[0, 0].detach().numpy(), atol=1e-12)


class _Summed(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x).sum(2)


@pytest.mark.parametrize("name", ["GradientShap", "ShapleyValueSampling", "KernelShap", "Lime"])
def test_random_methods_depend_on_the_seed_alone(name):
    settings = {"n_samples": 3 if name == "ShapleyValueSampling" else 9}
    together = values(f"captum:{name}", **settings)
    torch.manual_seed(1)
    np.random.seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].tobytes()
    for class_name, found in together.items():
        alone = values(f"captum:{name}", classes=[class_name], **settings)
        assert alone[class_name].tobytes() == found.tobytes()
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[1].tobytes()
    other = values(f"captum:{name}", seed=1, **settings)
    assert any(other[n].tobytes() != together[n].tobytes() for n in together)


COUNTED = [*ORACLES, "GuidedBackprop", "GradientShap", "ShapleyValueSampling", "KernelShap", "Lime"]


@pytest.mark.parametrize("name", COUNTED)
def test_passes_are_no_more_than_planned(name):
    params = dict(ORACLES[name][0]) if name in ORACLES else {}
    params |= {"n_samples": 6} if name in ("ShapleyValueSampling", "KernelShap", "Lime") else {}
    model = smooth_model(overlap=0.25)
    expected = values("vanilla_gradient", model)
    counts = {"forward": 0, "backward": 0}
    model.network.register_forward_pre_hook(lambda *_: counts.update(forward=counts["forward"] + 1))
    model.network[0].register_full_backward_hook(lambda *_: counts.update(backward=counts["backward"] + 1))
    tiling = Tiling(model.windows, (13, 9, 6))
    method = make_method(f"captum:{name}", params)
    planned = method.passes(Geometry(tiling, 1, len(CLASS_NAMES), len(expected)))
    list(attribute(model, IMAGE, method))
    n_prediction = len(tiling.windows)
    assert counts["forward"] - n_prediction <= planned.forward <= 1.5 * (counts["forward"] - n_prediction)
    assert counts["backward"] <= planned.backward <= 1.5 * counts["backward"]


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("DeepLift", {}, "pass the same modules in turn"),
        ("LayerGradCam", {}, "no method of Captum's"),
        ("FeaturePermutation", {}, "explained alone"),
        ("Occlusion", {}, "sliding_window_shapes"),
        ("Occlusion", {"sliding_window_shapes": "8,8"}, "one for each axis"),
        ("Occlusion", {"sliding_window_shapes": "99,9,9"}, "Captum refuses"),
        ("KernelShap", {"feature_mask": "blobs"}, "cubes:64"),
        ("KernelShap", {"feature_mask": np.zeros((2, 2, 2), int)}, "that of the scan"),
        ("KernelShap", {"n_sample": 3}, "did you mean 'n_samples'"),
        ("Saliency", {"abs": "maybe"}, "true or false"),
        ("GradientShap", {"baselines": "grey"}, "zero, mean"),
    ],
)
def test_what_cannot_be_is_refused(name, params, message):
    with pytest.raises(UsageError, match=message):
        values(f"captum:{name}", **params)
