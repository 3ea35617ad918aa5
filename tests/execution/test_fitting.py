"""Out of memory: the same numbers, with less at once, and the process learns."""

import numpy as np
import psutil
import pytest
import torch
from torch import nn

from agg2exp_core.attribution import attribute
from agg2exp_core.errors import ModelError, UsageError
from agg2exp_core.execution import Execution, fit_classes, fit_windows, fitting, ran_out_of_memory
from agg2exp_core.models import wrap_network
from agg2exp_core.prediction import predict, sliding_logits
from tests.networks import CLASS_NAMES, random_image, smooth_network

IMAGE = random_image(1, 9, 13, 20, dtype=torch.float32)
METHODS = [
    ("vanilla_gradient", {}),
    ("vanilla_gradient", {"aggregation": "median"}),
    ("smoothgrad", {"n_samples": 2}),
    ("integrated_gradients", {"n_steps": 2}),
]


class Narrow(nn.Module):
    """A network on a device with memory for so many windows, and for so many passes."""

    def __init__(self, most, passes_before=0):
        super().__init__()
        self.network = smooth_network().float()
        self.most = most
        self.passes_before = passes_before
        self.seen = []

    def forward(self, windows):
        self.seen.append(len(windows))
        if len(windows) > self.most and len(self.seen) > self.passes_before:
            raise torch.OutOfMemoryError("injected")
        return self.network(windows)


class NarrowBackward(Narrow):
    """The same, but memory runs out in the third backward pass of a batch that is too large."""

    def forward(self, windows):
        logits = self.network(windows)
        self.seen.append(len(windows))
        if len(windows) > self.most and logits.requires_grad:
            rounds = []

            def count(gradient):
                rounds.append(1)
                if len(rounds) == 3:
                    raise torch.OutOfMemoryError("injected")

            logits.register_hook(count)
        return logits


@pytest.fixture(autouse=True)
def _nothing_learnt(monkeypatch):
    monkeypatch.setattr(fitting, "_chosen", {})
    monkeypatch.setattr(fitting, "_limits", {})


def model_of(network):
    return wrap_network(network, CLASS_NAMES, window_shape=(8, 8, 8), overlap=0.5, blend="gaussian")


def bits(network, method, params, prediction, **execution):
    items = attribute(model_of(network), IMAGE, method, prediction=prediction, **execution, **params)
    return {item.class_name: item.values.tobytes() for item in items}


@pytest.fixture(scope="module")
def prediction():
    return predict(model_of(Narrow(100)), IMAGE)


@pytest.mark.parametrize(("method", "params"), METHODS)
@pytest.mark.parametrize(
    "network",
    [Narrow(2), Narrow(2, passes_before=1), NarrowBackward(2)],
    ids=["at once", "in the middle", "between classes"],
)
def test_halving_gives_the_bits_of_the_smaller_batch(network, method, params, prediction):
    network.seen.clear()
    expected = bits(Narrow(100), method, params, prediction, window_batch=2)
    fitting._limits.clear()
    assert bits(network, method, params, prediction, window_batch=8) == expected
    assert {8, 4, 2} <= set(network.seen)


def test_what_fits_is_remembered(prediction):
    network = Narrow(2)
    for _ in range(2):
        bits(network, "vanilla_gradient", {}, prediction, window_batch=8)
    assert network.seen.count(8) == network.seen.count(4) == 1
    assert fit_windows(model_of(network), 8) == 2
    assert fit_windows(model_of(network), 1) == 1


def test_predictions_halve_too():
    network = Narrow(2)
    found = predict(model_of(network), IMAGE, window_batch=8)
    expected = sliding_logits(model_of(Narrow(100)), IMAGE, window_batch=2)
    assert np.array_equal(found.labels, expected.argmax(0).numpy())
    assert found.own_logit.tobytes() == expected.max(0).values.numpy().tobytes()
    assert {8, 4, 2} == set(network.seen)


def test_one_window_that_does_not_fit_is_an_error(prediction):
    with pytest.raises(torch.OutOfMemoryError):
        bits(Narrow(0), "vanilla_gradient", {}, prediction, window_batch=4)


def test_classes_that_fit(monkeypatch, prediction):
    model = model_of(Narrow(100))
    assert fit_classes(model, None, 1, 4) == 4
    assert fit_classes(model, 3, 1, 4) == 3
    assert fit_classes(model, 9, 1, 4) == 4
    free = psutil.virtual_memory().available
    assert fit_classes(model, None, free // 5, 4) in (2, 3)
    assert fit_classes(model, None, 2 * free, 4) == 1
    together = bits(model.network, "vanilla_gradient", {}, prediction)
    monkeypatch.setattr(fitting, "available_bytes", lambda device: 5 * IMAGE.nbytes)
    assert bits(model.network, "vanilla_gradient", {}, prediction) == together


def test_a_scan_that_does_not_fit_is_refused_before_a_pass():
    network = Narrow(100)
    endless = torch.zeros(1, 1, 1, 1).expand(1, 4096, 4096, 4096)
    with pytest.raises(ModelError, match="4096 x 4096 x 4096 voxels with 4 classes, which needs"):
        predict(model_of(network), endless)
    assert not network.seen


@pytest.mark.parametrize(
    ("error", "ran_out"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
    ],
)
def test_what_says_that_memory_ran_out(error, ran_out):
    assert ran_out_of_memory(error) is ran_out


@pytest.mark.parametrize("settings", [{"window_batch": 0}, {"class_batch": 1.5}, {"window_batch": "8"}])
def test_no_batch(settings):
    with pytest.raises(UsageError, match="a whole number from 1"):
        Execution(**settings)
