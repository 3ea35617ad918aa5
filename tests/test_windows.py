"""The grid and the blending are MONAI's."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.inferers import sliding_window_inference
from nnunetv2.inference.sliding_window_prediction import compute_gaussian, compute_steps_for_sliding_window

from agg2exp_core.errors import ModelError, UsageError
from agg2exp_core.prediction import predict, sliding_logits
from agg2exp_core.types import WindowSettings
from agg2exp_core.windows import Tiling
from tests.networks import random_image, smooth_model

sides = st.integers(1, 23)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(sides, sides, sides),
    window=st.tuples(*[st.integers(2, 9)] * 3),
    overlap=st.sampled_from([0, 0.1, 0.25, 0.5, 0.9]),
    blend=st.sampled_from(["constant", "gaussian"]),
    grid=st.sampled_from(["monai", "nnunet"]),
)
def test_weights_of_all_windows_sum_to_one_on_every_voxel(shape, window, overlap, blend, grid):
    tiling = Tiling(WindowSettings(shape=window, overlap=overlap, blend=blend, grid=grid), shape)
    blending = tiling.blending(torch.device("cpu"), torch.float64)
    total = torch.zeros(tiling.padded_shape, dtype=torch.float64)
    for w in tiling.windows:
        assert total[w].shape == window
        total[w] += blending.weight(w)
    torch.testing.assert_close(total, torch.ones_like(total))
    volume = random_image(*shape)
    assert torch.equal(tiling.crop(tiling.pad(volume)), volume)


@pytest.mark.parametrize("blend", ["constant", "gaussian"])
@pytest.mark.parametrize("overlap", [0, 0.25, 0.5, 0.8])
@pytest.mark.parametrize("shape", [(8, 8, 8), (13, 9, 21), (5, 17, 8), (3, 4, 5)])
def test_logits_equal_monai(blend, overlap, shape):
    model = smooth_model(torch.float32, overlap=overlap, blend=blend)
    image = random_image(1, *shape, dtype=torch.float32)
    with torch.no_grad():
        expected = sliding_window_inference(image[None], (8, 8, 8), 1, model.network, overlap, blend)[0]
    torch.testing.assert_close(sliding_logits(model, image), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(sliding_logits(model, image, window_batch=3), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("overlap", [0, 0.3, 0.5, 0.7])
@pytest.mark.parametrize("shape", [(8, 8, 8), (13, 9, 21), (5, 17, 8), (32, 20, 33)])
def test_the_other_grid_is_that_of_nnunet(overlap, shape):
    tiling = Tiling(WindowSettings(shape=(8, 6, 7), overlap=overlap, blend="gaussian", grid="nnunet"), shape)
    starts = compute_steps_for_sliding_window(tiling.padded_shape, (8, 6, 7), 1 - overlap)
    expected = [
        tuple(slice(start, start + n) for start, n in zip(place, (8, 6, 7), strict=True))
        for place in itertools.product(*starts)
    ]
    assert list(tiling.windows) == expected
    rows = [i for row in tiling.rows for i in row.indices]
    assert rows == list(range(len(expected)))
    importance = tiling.blending(torch.device("cpu"), torch.float64).importance
    theirs = compute_gaussian((8, 6, 7), dtype=torch.float64, device=torch.device("cpu"))
    torch.testing.assert_close(importance, theirs, rtol=1e-12, atol=0)


def test_prediction_is_the_argmax_of_the_stitched_logits():
    model = smooth_model(overlap=0.5, blend="gaussian")
    image = random_image(1, 11, 9, 14)
    logits = sliding_logits(model, image)
    prediction = predict(model, image)
    assert prediction.labels.tolist() == logits.argmax(0).tolist()
    own = logits.softmax(0).max(0).values
    torch.testing.assert_close(torch.as_tensor(prediction.own_probability), own)
    assert sum(prediction.n_voxels.values()) == image.numel()


def test_wrong_channels_are_refused():
    with pytest.raises(ModelError, match=r"C = 1"):
        predict(smooth_model(), random_image(2, 8, 8, 8))


@pytest.mark.parametrize(
    ("settings_", "where"),
    [
        ({"overlap": 1.0}, "overlap"),
        ({"blend": "linear"}, "blend"),
        ({"shape": (8, 8)}, "window_shape"),
        ({"grid": "mine"}, "grid"),
    ],
)
def test_window_settings_out_of_range_are_refused(settings_, where):
    with pytest.raises(UsageError, match=where):
        WindowSettings(**{"shape": (8, 8, 8)} | settings_)
