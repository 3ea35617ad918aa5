"""Attributions in planes: the numbers of whole ones, each plane once, in order."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agg2exp_core.attribution import attribute, attribute_planes
from agg2exp_core.execution import fitting
from agg2exp_core.models import wrap_network
from agg2exp_core.random import normal_planes, standard_normal
from tests.execution.test_fitting import Narrow
from tests.networks import CLASS_NAMES, random_image, smooth_model

METHODS = [
    ("vanilla_gradient", {}),
    ("vanilla_gradient", {"aggregation": "median"}),
    ("vanilla_gradient", {"aggregation": "probability"}),
    ("vanilla_gradient", {"aggregation": "margin"}),
    ("smoothgrad", {"n_samples": 2}),
    ("integrated_gradients", {"n_steps": 2, "baseline": "blur"}),
    ("shapley_semantic", {}),
    ("captum:InputXGradient", {}),
]
SHAPES = [(29, 9, 10), (3, 12, 5), (8, 8, 8)]


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(2, 9), st.integers(1, 7), st.integers(1, 7)),
    data=st.data(),
)
def test_planes_of_noise_are_those_of_the_whole_scan(shape, data):
    start = data.draw(st.integers(0, shape[1] - 1))
    stop = data.draw(st.integers(start + 1, shape[1]))
    whole = standard_normal(shape, 0, "scan", 3)
    part = normal_planes(shape, slice(start, stop), 0, "scan", 3)
    assert part.tobytes() == whole[:, start:stop].tobytes()


@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("method", "params"), METHODS)
def test_planes_make_up_the_whole(method, params, shape, n_channels):
    model = smooth_model(torch.float32, n_channels, overlap=0.5, blend="gaussian")
    image = random_image(n_channels, *shape, dtype=torch.float32)
    whole = list(attribute(model, image, method, **params))
    parts, infos, reached = {}, {}, {}
    for planes in attribute_planes(model, image, method, **params):
        assert planes.values.shape == (
            len(planes.class_names),
            n_channels,
            planes.stop - planes.start,
            *shape[1:],
        )
        for name, values in planes.by_class():
            assert planes.start == reached.get(name, 0)
            reached[name] = planes.stop
            parts.setdefault(name, []).append(values.copy())
        if planes.infos is not None:
            assert planes.stop == shape[0]
            infos |= dict(zip(planes.class_names, planes.infos, strict=True))
    assert [item.class_name for item in whole] == list(parts)
    for item in whole:
        assert np.concatenate(parts[item.class_name], axis=-3).tobytes() == item.values.tobytes()
        assert infos[item.class_name] == item.info


def test_planes_leave_before_the_sweep_ends():
    model = smooth_model(torch.float32, overlap=0.5)
    image = random_image(1, 40, 8, 8, dtype=torch.float32)
    done = []
    pieces = attribute_planes(
        model, image, "smoothgrad", n_samples=3, progress=lambda n, total: done.append(n / total)
    )
    first = next(pieces)
    assert (first.start, first.stop) == (0, 4)
    assert done[-1] <= 0.2
    assert first.infos is None


def test_out_of_memory_midway_begins_again_with_the_bits_of_the_smaller_batch(monkeypatch):
    monkeypatch.setattr(fitting, "_chosen", {})
    monkeypatch.setattr(fitting, "_limits", {})
    image = random_image(1, 16, 13, 12, dtype=torch.float32)

    def model_of(network):
        return wrap_network(network, CLASS_NAMES, window_shape=(8, 8, 8), overlap=0.5)

    settings = {"prediction": None, "n_samples": 2}
    expected = {
        item.class_name: item.values.tobytes()
        for item in attribute(model_of(Narrow(100)), image, "smoothgrad", window_batch=2, **settings)
    }
    fitting._limits.clear()
    n_prediction_passes = 6
    network = Narrow(2, passes_before=n_prediction_passes + 5)
    starts, arrays = [], {}
    for planes in attribute_planes(model_of(network), image, "smoothgrad", window_batch=4, **settings):
        starts.append(planes.start)
        for name, values in planes.by_class():
            arrays.setdefault(name, np.zeros(image.shape[1:], np.float32))
            arrays[name][planes.start : planes.stop] = values
    assert starts.count(0) == 2
    assert {name: values.tobytes() for name, values in arrays.items()} == expected
