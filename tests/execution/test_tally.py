"""The tally of passes is that of the network, not what somebody planned."""

import numpy as np
import pytest
import torch

from agg2exp_core.attribution import attribute
from agg2exp_core.execution import counted
from agg2exp_core.models import wrap_network
from agg2exp_core.prediction import predict
from agg2exp_core.windows import Tiling
from tests.networks import CLASS_NAMES, random_image, smooth_model, smooth_network

IMAGE = random_image(1, 9, 13, 20)
SETTINGS = {"overlap": 0.5, "blend": "gaussian"}


def pairs(model, prediction):
    """Count the classes of each window, window by window."""
    windows = Tiling(model.windows, (9, 13, 20)).windows
    return len(windows), sum(len(np.unique(prediction.labels[window])) for window in windows)


@pytest.mark.parametrize("window_batch", [1, 2, 3, 100])
def test_vanilla_gradient_takes_a_forward_pass_a_window_and_a_backward_pass_a_present_class(window_batch):
    model = smooth_model(**SETTINGS)
    prediction = predict(model, IMAGE)
    with counted(model) as (model, tally):
        list(attribute(model, IMAGE, "vanilla_gradient", prediction=prediction, window_batch=window_batch))
    assert (tally.forward, tally.backward) == pairs(model, prediction)


def test_a_prediction_passes_forward_only():
    model = smooth_model(**SETTINGS)
    with counted(model) as (model, tally):
        predict(model, IMAGE, window_batch=3)
    assert (tally.forward, tally.backward) == (len(Tiling(model.windows, (9, 13, 20)).windows), 0)


def test_a_window_with_no_upstream_gradient_does_not_count():
    with counted(smooth_model()) as (model, tally):
        windows = random_image(3, 1, 8, 8, 8).requires_grad_()
        model.logits(windows)[1].sum().backward()
    assert (tally.forward, tally.backward) == (3, 1)


def test_nothing_is_counted_after_the_context():
    with counted(smooth_model()) as (model, tally):
        model.logits(random_image(2, 1, 8, 8, 8))
    model.logits(random_image(2, 1, 8, 8, 8))
    assert tally.forward == 2


@pytest.mark.filterwarnings("ignore")  # TorchScript is deprecated, and says so in several ways
@pytest.mark.parametrize("is_saved", [False, True])
def test_a_scripted_network_is_counted(is_saved, tmp_path):
    scripted = torch.jit.trace(smooth_network().double().eval(), random_image(1, 1, 8, 8, 8))
    if is_saved:
        torch.jit.save(scripted, tmp_path / "net.ts")
        scripted = torch.jit.load(tmp_path / "net.ts")
    with counted(wrap_network(scripted, CLASS_NAMES, window_shape=(8, 8, 8))) as (model, tally):
        windows = random_image(2, 1, 8, 8, 8).requires_grad_()
        model.logits(windows).sum().backward()
    assert (tally.forward, tally.backward) == (2, 2)
