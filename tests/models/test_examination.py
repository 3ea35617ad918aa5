"""Networks that vary, that mind their neighbours, or that give no logits, by every way in."""

import warnings
from copy import deepcopy

import pytest
import torch
from torch import nn

from agg2exp_core.attribution import attribute
from agg2exp_core.errors import ModelError
from agg2exp_core.models import check_network, load_model, wrap_network
from agg2exp_core.models.weights import load_weights
from agg2exp_core.prediction import predict
from tests.models.test_loading import DESCRIPTION, write
from tests.networks import random_image

NAMES = ["background", "left", "right"]
WINDOW = (8, 8, 8)


def layers(*middle, last=()):
    torch.manual_seed(5)
    return nn.Sequential(nn.Conv3d(1, 6, 3, padding=1), *middle, nn.Tanh(), nn.Conv3d(6, 3, 1), *last)


def saved(folder, program):
    """A program with its description beside it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        program.save(folder / "net.ts")
    content = DESCRIPTION | {"class_names": NAMES, "weights": "net.ts", "windows": {"shape": list(WINDOW)}}
    write(folder / "net.yaml", content)
    return load_model(folder / "net.ts", "cpu")


def traced(network, n=2):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(network, torch.rand(n, 1, *WINDOW), check_trace=False)


def wrapped(network, **settings):
    return wrap_network(network, NAMES, WINDOW, **settings)


class Stubborn(nn.Module):
    """Dropout that no evaluation mode turns off."""

    def forward(self, x):
        return nn.functional.dropout(x, 0.1, True)


@pytest.mark.parametrize("way", ["traced", "scripted", "in Python"])
def test_dropout_that_stayed_on_is_refused(way, tmp_path):
    if way == "traced":
        model = saved(tmp_path, traced(layers(nn.Dropout(0.02)).train()))
    elif way == "scripted":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = saved(tmp_path, torch.jit.script(layers(Stubborn())))
    else:
        model = wrapped(layers(Stubborn()))
    with pytest.raises(ModelError, match=r"other logits each time.*--accept chance"):
        check_network(model)
    assert [remark.code for remark in check_network(model, ["chance"])] == ["chance"]


@pytest.mark.parametrize("way", ["traced while training", "no running statistics"])
def test_batch_statistics_that_stayed_on_are_refused(way, tmp_path):
    if way == "traced while training":
        model = saved(tmp_path, traced(layers(nn.BatchNorm3d(6)).train()))
    else:
        model = wrapped(layers(nn.BatchNorm3d(6, track_running_stats=False)))
    with pytest.raises(ModelError, match=r"depend on the other windows.*--accept batch"):
        check_network(model)
    assert [remark.code for remark in check_network(model, ["batch"])] == ["batch"]
    assert check_network(model, window_batch=1) == ()  # no window has a neighbour


@pytest.mark.parametrize(
    "network",
    [
        layers(),
        layers(nn.BatchNorm3d(6), nn.Dropout(0.5)),
        layers(nn.InstanceNorm3d(6)),
        layers(last=[nn.ReLU()]),
        layers(last=[nn.InstanceNorm3d(3)]),
    ],
)
def test_networks_in_order_pass_without_a_word(network):
    assert check_network(wrapped(network)) == ()
    assert check_network(wrapped(deepcopy(network).to(torch.bfloat16))) == ()
    assert check_network(wrapped(deepcopy(network).to(torch.float64))) == ()


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (nn.Softmax(dim=1), "seems to end in a softmax"),
        (nn.Sigmoid(), "seems to end in a sigmoid"),
        (nn.LogSoftmax(dim=1), "seems to end in a log-softmax"),
    ],
)
@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "regions"])
def test_outputs_that_are_no_logits_are_told(last, said, activation):
    network = layers(last=[last])
    names = NAMES if activation == "softmax" else ["background", "a", "b", "c"]
    (remark,) = check_network(wrap_network(network, names, WINDOW, activation=activation))
    assert remark.code == "logits"
    assert said in remark.text


def test_logits_that_are_not_finite_are_refused():
    network = layers()
    nn.init.constant_(network[-1].bias, float("nan"))
    with pytest.raises(ModelError, match="NaN or infinite"):
        check_network(wrapped(network))


def test_a_program_for_one_window_at_a_time(tmp_path):
    class One(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = layers()

        def forward(self, x):
            return self.layers(x).reshape(1, 3, 8, 8, 8)

    model = saved(tmp_path, traced(One(), n=1))
    with pytest.raises(ModelError, match=r"one window at a time, not two.*--window-batch 1"):
        check_network(model)
    assert check_network(model, window_batch=1) == ()


def test_an_export_for_one_window_takes_them_one_after_the_other(tmp_path):
    network = layers().eval()
    torch.export.save(torch.export.export(network, (torch.zeros(1, 1, *WINDOW),)), tmp_path / "net.pt2")
    content = DESCRIPTION | {"class_names": NAMES, "weights": "net.pt2", "windows": {"shape": list(WINDOW)}}
    model = load_model(write(tmp_path / "net.yaml", content), "cpu")
    windows = random_image(5, 1, *WINDOW, dtype=torch.float32)
    torch.testing.assert_close(model.logits(windows), network(windows), rtol=1e-5, atol=1e-6)


class InPlace(nn.Module):
    """Normalises its own input."""

    def __init__(self):
        super().__init__()
        self.layers = layers()

    def forward(self, x):
        x -= 0.5
        x *= 4
        return self.layers(x)


class NotInPlace(InPlace):
    def forward(self, x):
        return self.layers((x - 0.5) * 4)


def test_a_network_that_changes_its_input_is_explained_like_any_other():
    image = random_image(1, 12, 9, 8, dtype=torch.float32)
    one, other = wrapped(InPlace()), wrapped(NotInPlace())
    before, prediction = image.clone(), predict(other, image)
    assert (predict(one, image).labels == prediction.labels).all()
    items = [attribute(m, image, "vanilla_gradient", prediction=prediction) for m in (one, other)]
    for ours, theirs in zip(*items, strict=True):
        assert abs(ours.values - theirs.values).max() <= 1e-6 * abs(theirs.values).max()
    assert torch.equal(image, before)


def test_a_network_of_bfloat16_gives_results_in_float32(tmp_path):
    exact = layers().eval()
    model = saved(tmp_path, _in_bfloat16(exact))
    image = random_image(1, 12, 9, 8, dtype=torch.float32)
    prediction = predict(model, image)
    assert prediction.own_logit.dtype == "float32"
    item = next(iter(attribute(model, image, "vanilla_gradient", prediction=prediction)))
    reference = next(iter(attribute(wrapped(exact), image, "vanilla_gradient", prediction=prediction)))
    assert abs(item.values - reference.values).max() <= 0.1 * abs(reference.values).max()


def _in_bfloat16(network):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        coarse = deepcopy(network).to(torch.bfloat16)
        return torch.jit.trace(coarse, torch.rand(1, 1, *WINDOW, dtype=torch.bfloat16), check_trace=False)


def network_under(prefix, beside, folder):
    network = layers().eval()
    state = {prefix + name: value for name, value in network.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state | beside}, folder / "last.ckpt")
    return network


@pytest.mark.parametrize(
    ("prefix", "beside"),
    [
        ("net.", {"loss_function.class_weight": torch.ones(3)}),
        ("model.network.", {"ema_decay": torch.ones(1), "criterion.weight": torch.ones(3)}),
        ("module.net.", {}),
        ("", {"loss.weight": torch.ones(3)}),
    ],
)
def test_weights_under_a_prefix_beside_a_loss(prefix, beside, tmp_path):
    expected, network = network_under(prefix, beside, tmp_path), layers()
    nn.init.zeros_(network[0].weight)
    remarks = load_weights(network, tmp_path / "last.ckpt")
    windows = random_image(2, 1, *WINDOW, dtype=torch.float32)
    assert torch.equal(network.eval()(windows), expected(windows))
    assert [remark.code for remark in remarks] == ["weights"] * bool(beside)
    assert all(name in "".join(remark.text for remark in remarks) for name in beside)


@pytest.mark.parametrize(
    ("beside", "said"),
    [
        ({"net.5.weight": torch.ones(3)}, "another network"),
        ({f"teacher.{n}": v for n, v in layers().state_dict().items()}, "2 such networks"),
    ],
)
def test_weights_that_leave_open_which_network_is_meant(beside, said, tmp_path):
    network_under("net.", beside, tmp_path)
    with pytest.raises(ModelError, match=said):
        load_weights(layers(), tmp_path / "last.ckpt")
