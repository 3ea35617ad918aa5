"""Networks of every shape of output become logits of all classes."""

import pytest
import torch
import yaml
from monai.inferers import sliding_window_inference
from monai.networks import nets
from safetensors.torch import save_file
from torch import nn

from agg2exp_core import attribute, load_model, predict, wrap_network
from agg2exp_core.errors import ModelError, UsageError
from agg2exp_core.models import check_network
from agg2exp_core.models.heads import MeanOfFlips, MeanOfNetworks
from agg2exp_core.prediction import sliding_logits
from tests.networks import CLASS_NAMES, random_image, smooth_model, smooth_network

IMAGE = random_image(1, 11, 9, 12)


class Several(nn.Module):
    """A network with two outputs, of which the second is the negative of the first."""

    def __init__(self, kind):
        super().__init__()
        self.inner, self.kind = smooth_network(), kind

    def forward(self, windows):
        logits = self.inner(windows)
        if self.kind is dict:
            return {"out": logits, "aux": -logits}
        return self.kind([logits, -logits])


def wrapped(network, names=CLASS_NAMES, **settings):
    return wrap_network(network.double(), names, (8, 8, 8), 0.5, "gaussian", **settings)


@pytest.mark.parametrize("kind", [tuple, list, dict])
def test_the_first_of_several_outputs_is_taken_or_the_one_that_is_named(kind):
    expected = sliding_logits(wrapped(smooth_network()), IMAGE)
    torch.testing.assert_close(sliding_logits(wrapped(Several(kind)), IMAGE), expected)
    second = "aux" if kind is dict else 1
    named = wrapped(Several(kind), output=second)
    torch.testing.assert_close(sliding_logits(named, IMAGE), -expected)
    assert named.fingerprint != wrapped(Several(kind)).fingerprint
    with pytest.raises(ModelError, match=r"2 outputs|'out', 'aux'"):
        check_network(wrapped(Several(kind), output="other" if kind is dict else 2))
    with pytest.raises(ModelError, match="a single output"):
        check_network(wrapped(smooth_network(), output="out"))


def test_one_channel_is_a_class_and_its_background():
    """Softmax over a logit of 0 and another is the sigmoid of the other."""
    network = smooth_network(n_classes=1).double()
    model = wrapped(network, ["background", "lesion"], activation="sigmoid")
    stitched = sliding_window_inference(IMAGE[None], (8, 8, 8), 1, network, 0.5, "gaussian")[0, 0]
    prediction = predict(model, IMAGE)
    assert (prediction.labels == (stitched > 0).numpy()).all()
    assert 0 < prediction.labels.mean() < 1
    probability = torch.sigmoid(stitched)
    own = torch.where(stitched > 0, probability, 1 - probability)
    torch.testing.assert_close(
        torch.as_tensor(prediction.own_probability), own.detach(), rtol=1e-6, atol=1e-6
    )
    items = {item.class_name: item.values for item in attribute(model, IMAGE, "vanilla_gradient")}
    image = IMAGE.clone().requires_grad_()
    f = sliding_window_inference(image[None], (8, 8, 8), 1, network, 0.5, "gaussian")[0, 0]
    (expected,) = torch.autograd.grad(f[stitched > 0].sum(), image)
    torch.testing.assert_close(torch.as_tensor(items["lesion"]), expected[0])
    assert not items["background"].any()  # its logit is 0, whatever the scan


@pytest.mark.parametrize("activation", ["sigmoid", "regions"])
def test_classes_with_a_logit_each(activation):
    network = smooth_network(n_classes=3).double()
    model = wrapped(network, activation=activation)
    logits = sliding_window_inference(IMAGE[None], (8, 8, 8), 1, network, 0.5, "gaussian")[0]
    if activation == "sigmoid":
        expected = torch.where(logits.amax(0) > 0, logits.argmax(0) + 1, 0)
    else:
        expected = torch.zeros(logits.shape[1:], dtype=torch.long)
        for n, logit in enumerate(logits, start=1):  # nnU-Net's order: a later region overwrites
            expected[logit > 0] = n
    assert (predict(model, IMAGE).labels == expected.numpy()).all()
    assert len(expected.unique()) == 4


def test_the_same_network_read_otherwise_is_another_model():
    network = smooth_network(n_classes=3)
    prints = {wrapped(network, activation=name).fingerprint for name in ("sigmoid", "regions")}
    assert len(prints) == 2
    with pytest.raises(UsageError, match="activation"):
        wrapped(network, activation="tanh")
    with pytest.raises(ModelError, match="`activation`"):
        check_network(wrapped(network))  # three channels for four classes: which is not said


def test_ensembles_are_means_of_logits():
    model, window = smooth_model(), IMAGE[None, :, :8, :8, :8]
    one = model.network
    torch.manual_seed(3)
    other = nn.Conv3d(1, 4, 3, padding=1).double()
    mean = MeanOfNetworks([one, other])(window)
    torch.testing.assert_close(mean, (one(window) + other(window)) / 2)
    flips = [(), (2,), (4,), (2, 4)]
    expected = sum(other(window.flip(flip)).flip(flip) for flip in flips) / 4
    torch.testing.assert_close(MeanOfFlips(other, (0, 2))(window), expected)


SMALL = {
    "UNet": {"spatial_dims": 3, "in_channels": 1, "channels": [4, 8], "strides": [2]},
    "BasicUNet": {"features": [4, 4, 8, 8, 8, 4]},
    "BasicUNetPlusPlus": {"features": [4, 4, 8, 8, 8, 4]},
    "AttentionUnet": {"spatial_dims": 3, "in_channels": 1, "channels": [4, 8], "strides": [2]},
    "DynUNet": {
        "spatial_dims": 3,
        "in_channels": 1,
        "kernel_size": [3, 3, 3],
        "strides": [1, 2, 2],
        "upsample_kernel_size": [2, 2],
        "filters": [4, 8, 8],
    },
    "SegResNet": {"init_filters": 8},
    "SegResNetDS": {"init_filters": 8, "blocks_down": [1, 1], "dsdepth": 2},
    "SegResNetVAE": {"input_image_size": [32, 32, 32], "init_filters": 8},
    "HighResNet": {
        "layer_params": [
            {"name": "conv_0", "n_features": 4, "kernel_size": 3},
            {"name": "res_1", "n_features": 4, "kernels": [3, 3], "repeat": 1},
            {"name": "conv_1", "n_features": 8, "kernel_size": 1},
            {"name": "conv_2", "kernel_size": 1},
        ]
    },
    "UNETR": {
        "in_channels": 1,
        "img_size": 32,
        "feature_size": 4,
        "hidden_size": 12,
        "mlp_dim": 12,
        "num_heads": 3,
    },
    "MedNeXt": {
        "in_channels": 1,
        "spatial_dims": 3,
        "init_filters": 4,
        "encoder_expansion_ratio": 1,
        "decoder_expansion_ratio": 1,
        "bottleneck_expansion_ratio": 1,
        "blocks_down": [1, 1, 1, 1],
        "blocks_bottleneck": 1,
        "blocks_up": [1, 1, 1, 1],
    },
}


@pytest.mark.parametrize("name", sorted(SMALL))
def test_networks_of_monai_by_name(name, tmp_path):
    side = 32
    arguments = {**SMALL[name], "out_channels": 3}
    torch.manual_seed(1)
    network = getattr(nets, name)(**arguments).eval()
    prefix = "module." if name in ("UNet", "SegResNet") else ""
    state = {prefix + key: value.clone() for key, value in network.state_dict().items()}
    save_file(state, tmp_path / "weights.safetensors")
    content = {
        "class_names": ["background", "a", "b"],
        "weights": "weights.safetensors",
        "network": {"name": name, "arguments": arguments},
        "windows": {"shape": [side] * 3},
        "preprocessing": {"kind": "ct"},
    }
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(content))
    model = load_model(tmp_path, "cpu")
    window = random_image(1, 1, side, side, side, dtype=torch.float32)
    with torch.no_grad():
        expected = network(window)
        found = model.logits(window)
    expected = expected[0] if isinstance(expected, tuple | list) else expected
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
