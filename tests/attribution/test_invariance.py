"""Results do not depend on how the work is cut, and no work is done for nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients

from agg2exp_core.attribution import attribute
from agg2exp_core.errors import UsageError
from agg2exp_core.prediction import predict
from agg2exp_core.random import standard_normal
from agg2exp_core.types import Scan
from tests.networks import CLASS_NAMES, random_image, smooth_model
from tests.reference import attributions as twin

IMAGE = random_image(1, 13, 9, 17, dtype=torch.float32)
METHODS = [
    ("vanilla_gradient", {}),
    ("smoothgrad", {"n_samples": 2}),
    ("integrated_gradients", {"n_steps": 3}),
]


def by_class(**settings):
    model = smooth_model(torch.float32, overlap=0.5, blend="gaussian")
    return {item.class_name: item.values for item in attribute(model, IMAGE, **settings)}


@pytest.mark.parametrize(("method", "params"), METHODS)
@pytest.mark.parametrize("window_batch", [1, 4])
def test_any_group_of_classes_gives_the_same_bits(method, params, window_batch):
    together = by_class(method=method, window_batch=window_batch, **params)
    for name, values in together.items():
        alone = by_class(method=method, classes=[name], window_batch=window_batch, **params)
        assert alone[name].tobytes() == values.tobytes()
    pairs = by_class(method=method, class_batch=2, window_batch=window_batch, **params)
    assert all(pairs[name].tobytes() == values.tobytes() for name, values in together.items())


@pytest.mark.parametrize(("method", "params"), METHODS)
@pytest.mark.parametrize("window_batch", [2, 3, 100])
def test_window_batch_changes_no_more_than_rounding(method, params, window_batch):
    one, several = (
        by_class(method=method, **params),
        by_class(method=method, window_batch=window_batch, **params),
    )
    for name, values in one.items():
        assert np.abs(values - several[name]).max() <= 1e-5 * np.abs(values).max()


def test_threads_change_no_more_than_rounding():
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = by_class(method="smoothgrad", n_samples=2)
        torch.set_num_threads(2)
        two = by_class(method="smoothgrad", n_samples=2)
    finally:
        torch.set_num_threads(threads)
    for name, values in one.items():
        assert np.abs(values - two[name]).max() <= 1e-5 * np.abs(values).max()


def test_one_forward_pass_for_all_classes_and_none_for_windows_without_them():
    model = smooth_model(overlap=0, window_shape=(8, 8, 8))
    image = random_image(1, 16, 8, 8)
    prediction = predict(model, image)
    labels = np.zeros_like(prediction.labels)
    labels[:3] = 1
    labels[12:] = 2
    prediction = type(prediction)(labels, CLASS_NAMES, prediction.own_logit, prediction.own_probability)
    passes = []
    model.network.register_forward_hook(lambda *_: passes.append("forward"))
    model.network[0].register_full_backward_hook(lambda *_: passes.append("backward"))
    list(attribute(model, image, "vanilla_gradient", prediction=prediction))
    assert (passes.count("forward"), passes.count("backward")) == (2, 4)
    passes.clear()
    list(attribute(model, image, "vanilla_gradient", ["right"], prediction=prediction))
    assert (passes.count("forward"), passes.count("backward")) == (1, 1)
    passes.clear()
    assert not list(attribute(model, image, "vanilla_gradient", ["middle"], prediction=prediction))
    assert not passes


@pytest.mark.parametrize(("method", "params"), METHODS)
def test_few_windows_pass_backward_for_nothing(method, params):
    """Windows of a batch hold about as many classes, though their neighbours do not."""
    model, image = smooth_model(overlap=0), random_image(1, 16, 16, 32)
    clean = predict(model, image)
    labels = np.zeros_like(clean.labels)
    labels[:, :8, ::2] = 1
    labels[:8, :, :8] = np.arange(8) % 4
    clean = replace(clean, labels=labels)
    passed, used = [], []

    def count(module, inputs, upstream):
        passed.append(len(upstream[0]))
        used.append(int(upstream[0].flatten(1).any(1).sum()))

    model.network[-1].register_full_backward_hook(count)
    list(attribute(model, image, method, prediction=clean, window_batch=4, **params))
    assert sum(used) >= 0.9 * sum(passed)
    assert max(passed) > 1


def test_integrated_gradients_agree_with_captum():
    model = smooth_model(overlap=0.25)
    image = random_image(1, 9, 10, 8)
    for item in attribute(model, image, "integrated_gradients", n_steps=6, quadrature="gauss_legendre"):
        c = CLASS_NAMES.index(item.class_name)
        oracle = IntegratedGradients(lambda x, c=c: twin.f_hat(model, x[0], image, c, "sum")[None])
        expected = oracle.attribute(image[None], n_steps=6, method="gausslegendre", internal_batch_size=1)
        # Captum holds the nodes in float32
        np.testing.assert_allclose(item.values, expected[0, 0].numpy(), rtol=0, atol=1e-6 * item.values.max())


def test_noise_is_a_function_of_its_address():
    noise = standard_normal((40, 30, 20), 0, "scan", 0)
    assert noise.tobytes() == standard_normal((40, 30, 20), 0, "scan", 0).tobytes()
    longer = standard_normal((41, 30, 20), 0, "scan", 0)
    assert longer[:40].tobytes() == noise.tobytes()
    for address in [(1, "scan", 0), (0, "other", 0), (0, "scan", 1)]:
        assert abs(np.corrcoef(noise.ravel(), standard_normal(noise.shape, *address).ravel())[0, 1]) < 0.03
    assert abs(noise.mean()) < 0.03
    assert noise.std() == pytest.approx(1, abs=0.02)


def test_the_scan_id_and_the_seed_choose_the_noise():
    model = smooth_model(torch.float32)
    image = random_image(1, 8, 8, 8, dtype=torch.float32)

    def explain(scan_id, seed):
        scan = Scan(scan_id, image, np.eye(4), None, "")
        return next(attribute(model, scan, "smoothgrad", n_samples=1, seed=seed)).values.tobytes()

    assert explain("a", 0) == explain("a", 0)
    assert len({explain("a", 0), explain("b", 0), explain("a", 1)}) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "smothgrad"}, "did you mean 'smoothgrad'"),
        ({"n_sample": 3}, "did you mean 'n_samples'"),
        ({"n_samples": "many"}, "a whole number"),
        ({"n_samples": 2.5}, "a whole number"),
        ({"n_samples": 0}, "1 or more"),
        ({"classes": ["midle"]}, "did you mean 'middle'"),
        ({"aggregation": "total"}, "sum, mean"),
        ({"aggregation": "roi"}, "without a mask"),
        ({"method": "integrated_gradients", "quadrature": "left"}, "midpoint"),
    ],
)
def test_what_does_not_exist_is_refused_in_one_sentence(settings, message):
    with pytest.raises(UsageError, match=message):
        attribute(smooth_model(), random_image(1, 8, 8, 8), **settings)
