"""Signs of doubt: each like its formula, in float64, whatever windows pass together."""

import itertools

import numpy as np
import pytest
import torch
from scipy import ndimage

from agg2exp_core.models import wrap_network
from agg2exp_core.models.heads import MeanOfFlips, MeanOfNetworks
from agg2exp_core.prediction import predict, sliding_logits
from agg2exp_core.prediction.doubt import LOW_CONFIDENCE, fragments
from agg2exp_core.windows import Tiling
from tests.networks import CLASS_NAMES, random_image, smooth_model, smooth_network

SHAPES = [(9, 13, 20), (29, 8, 9), (3, 4, 5)]


def slow_soft_dice(probabilities, labels, c):
    inside = labels == c
    return 2 * probabilities[c][inside].sum() / (inside.sum() + probabilities[c].sum())


def slow_disagreement(model, image, labels, c):
    """Of the voxels of a class under two windows or more, the share of which their own argmax differs."""
    tiling = Tiling(model.windows, tuple(image.shape[1:]))
    said = [set() for _ in range(int(np.prod(tiling.padded_shape)))]
    n = np.zeros(tiling.padded_shape, int)
    flat = np.arange(n.size).reshape(n.shape)
    padded = tiling.pad(image)
    for window in tiling.windows:
        own = model.logits(padded[(slice(None), *window)][None])[0].argmax(dim=0).numpy()
        n[window] += 1
        for voxel, label in zip(flat[window].ravel(), own.ravel(), strict=True):
            said[voxel].add(int(label))
    differ = np.array([len(words) > 1 for words in said]).reshape(n.shape)[tiling.interior]
    shared = (n[tiling.interior] > 1) & (labels == c)
    return differ[shared].mean() if shared.any() else None


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("window_batch", [1, 3])
def test_signs_are_those_of_their_formulas(shape, window_batch):
    model = smooth_model(torch.float32, 1, overlap=0.5, blend="gaussian")
    image = random_image(1, *shape, dtype=torch.float32)
    doubt = predict(model, image, window_batch=window_batch).doubt
    probabilities = torch.softmax(sliding_logits(model, image).double(), dim=0).numpy()
    labels = probabilities.argmax(axis=0)
    present = [(c, name) for c, name in enumerate(CLASS_NAMES) if (labels == c).any()]
    assert "member_dice" not in doubt
    for c, name in present:
        inside = labels == c
        low = (probabilities[c][inside] < LOW_CONFIDENCE).mean()
        assert doubt["n_voxels"][name] == inside.sum()
        assert doubt["soft_dice"][name] == pytest.approx(slow_soft_dice(probabilities, labels, c), rel=1e-5)
        assert doubt["low_confidence"][name] == pytest.approx(low, abs=2 / inside.sum())
        expected = slow_disagreement(model, image, labels, c)
        assert doubt.get("window_disagreement", {}).get(name) == (
            None if expected is None else pytest.approx(expected)
        )
    for sign in ("n_voxels", "soft_dice", "low_confidence", "entropy"):
        assert doubt[sign].keys() == {name for _, name in present}


@pytest.mark.parametrize("window_batch", [1, 2])
@pytest.mark.parametrize("kind", ["networks", "flips", "sigmoid"])
def test_members_are_compared_by_the_label_maps_of_nearest_windows(kind, window_batch):
    networks = [smooth_network(seed=seed) for seed in range(3)]
    mean = MeanOfFlips(networks[0], (0, 2)) if kind == "flips" else MeanOfNetworks(networks)
    names = ("background", *"abcd") if kind == "sigmoid" else CLASS_NAMES
    options = {"activation": "sigmoid" if kind == "sigmoid" else "softmax", "grid": "nnunet"}
    model = wrap_network(mean, names, (8, 8, 8), 0.5, "gaussian", **options)
    image = random_image(1, 11, 8, 14, dtype=torch.float32)
    with torch.no_grad():
        maps = slow_label_maps(mean, model, image)
    expected = {}
    for c, name in enumerate(names):
        pairs = [(a == c, b == c) for a, b in itertools.combinations(maps, 2)]
        dice = [2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in pairs if a.any() or b.any()]
        expected |= {name: np.mean(dice)} if dice else {}
    assert predict(model, image, window_batch=window_batch).doubt["member_dice"] == pytest.approx(expected)
    assert mean.listener is None


def slow_label_maps(mean, model, image):
    """Label map of each member: every voxel by the window whose centre is nearest, the first of them."""
    tiling = Tiling(model.windows, tuple(image.shape[1:]))
    padded = tiling.pad(image)
    at = np.stack(np.meshgrid(*map(np.arange, tiling.padded_shape), indexing="ij"), axis=-1)
    centres = [np.array([(s.start + s.stop - 1) / 2 for s in window]) for window in tiling.windows]
    nearest = np.argmin([np.abs(at - centre).sum(axis=-1) for centre in centres], axis=0)
    maps = np.zeros((mean.n_members, *tiling.padded_shape), int)
    for i, window in enumerate(tiling.windows):
        for member, logits in enumerate(mean.of_members(padded[(slice(None), *window)][None])):
            scores = logits[0]
            if len(scores) < model.n_classes:
                scores = torch.cat([torch.zeros_like(scores[:1]), scores])
            own = nearest[window] == i
            maps[member][window][own] = scores.argmax(dim=0).numpy()[own]
    return maps[(slice(None), *tiling.interior)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("grid", ["monai", "nnunet"])
def test_each_voxel_is_the_nearest_window_s(shape, grid):
    model = smooth_model(torch.float32, 1, overlap=0.5)
    tiling = Tiling(model.windows.model_copy(update={"grid": grid}), shape)
    n_own, n_covering = np.zeros((2, *tiling.padded_shape), int)
    for i, window in enumerate(tiling.windows):
        n_own[window][tiling.nearest_voxels(i)] += 1
        n_covering[window] += 1
    assert (n_own[tiling.interior] == 1).all()
    assert n_own.sum() == np.prod(shape)
    np.testing.assert_array_equal(tiling.n_covering(slice(0, shape[0])), n_covering[tiling.interior])


def test_classes_inside_each_other_have_no_softmax_of_their_own():
    network = smooth_network()
    names = ("background", *"abcd")
    model = wrap_network(network, names, (8, 8, 8), activation="regions")
    doubt = predict(model, random_image(1, 9, 9, 9, dtype=torch.float32)).doubt
    assert {"soft_dice", "low_confidence"}.isdisjoint(doubt)
    assert {"entropy", "window_disagreement", "fragments"} <= doubt.keys()


def test_fragments_are_what_lies_outside_the_largest_part():
    labels = np.zeros((6, 6, 6), np.uint8)
    labels[:2, :2, :2], labels[5, 5, 5], labels[2, 2, 2] = 1, 1, 1  # the last touches by a corner
    labels[0, 5, 5] = 3
    assert fragments(labels, ["background", "a", "b", "c"]) == {"a": pytest.approx(1 / 10), "c": 0.0}
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, (7, 8, 9)).astype(np.uint16)
    for name, share in fragments(labels, ["background", "a", "b", "c"]).items():
        parts, n = ndimage.label(labels == "_abc".index(name), np.ones((3, 3, 3)))
        sizes = [(parts == part).sum() for part in range(1, n + 1)]
        assert share == pytest.approx(1 - max(sizes) / sum(sizes))
