"""Window-local Shapley values equal Shapley's formula over all coalitions of the whole scan."""

import weakref
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from agg2exp_core.attribution import attribute, estimate, make_method
from agg2exp_core.attribution.baselines import baseline_image
from agg2exp_core.attribution.method import Geometry
from agg2exp_core.errors import UsageError
from agg2exp_core.execution import Execution, WindowCost, counted
from agg2exp_core.models import wrap_network
from agg2exp_core.prediction import predict
from agg2exp_core.types import Prediction, WindowSettings
from agg2exp_core.windows import Tiling
from tests.networks import CLASS_NAMES, random_image, smooth_model
from tests.reference import shapley as twin
from tests.reference.attributions import f_hat

SIDES = {(13, 9, 10): 7, (5, 12, 8): 5}  # the second is padded
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


@cache
def brute_force(shape, blend, kind, baseline="zero", n_channels=1):
    """A model, an image, its players, and the logits of every coalition."""
    model = smooth_model(overlap=0.25, blend=blend, n_channels=n_channels)
    image = random_image(n_channels, *shape)
    supervoxels = twin.cubes(shape, SIDES[shape]) if kind == "cubes" else predict(model, image).labels
    start = baseline_image(baseline, image, model)
    return model, image, supervoxels, twin.all_logits(model, image, start, supervoxels)


def half_mask(shape):
    roi = np.zeros(shape, bool)
    roi[1:4, 2:8, 3:] = True
    return roi


def on_voxels(phi, supervoxels, c, n_channels=1):
    """A player's value, shared evenly by its voxels."""
    return sum((supervoxels == i) * (phi[i][c] / (n_channels * (supervoxels == i).sum())) for i in phi)


def settings_of(shape, kind):
    return {"cube_side": SIDES[shape]} if kind == "cubes" else {}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("aggregation", ["sum", "mean", "probability", "margin", "roi"])
@pytest.mark.parametrize("kind", ["cubes", "semantic"])
@pytest.mark.parametrize("blend", ["constant", "gaussian"])
@pytest.mark.parametrize("shape", SIDES)
def test_equal_to_all_coalitions_of_the_whole_scan(shape, blend, kind, aggregation, dtype):
    model, image, supervoxels, logits = brute_force(shape, blend, kind)
    roi = half_mask(shape) if aggregation == "roi" else None
    phi = twin.scan_values(model, image, 0 * image, supervoxels, aggregation, roi, logits)
    ours = smooth_model(dtype, overlap=0.25, blend=blend)
    params = {"aggregation": aggregation, "roi": roi} | settings_of(shape, kind)
    items = list(attribute(ours, image.to(dtype), f"shapley_{kind}", window_batch=3, **params))
    assert len(items) >= 2
    for item in items:
        expected = on_voxels(phi, supervoxels, CLASS_NAMES.index(item.class_name))
        assert item.values.shape == shape
        np.testing.assert_allclose(
            item.values, expected, rtol=0, atol=TOLERANCE[dtype] * np.abs(expected).max()
        )
        assert item.info["exact_window_share"] == item.info["exact_mass_share"] == 1
        assert item.info["largest_standard_error"] == 0


@pytest.mark.parametrize("kind", ["cubes", "semantic"])
@pytest.mark.parametrize("baseline", ["0.3", "mean", "blur"])
@pytest.mark.parametrize(("shape", "n_channels"), [((5, 12, 8), 1), ((5, 12, 8), 2), ((13, 9, 10), 1)])
def test_any_baseline_and_several_channels(shape, n_channels, baseline, kind):
    model, image, supervoxels, logits = brute_force(shape, "gaussian", kind, baseline, n_channels)
    phi = twin.scan_values(model, image, None, supervoxels, "sum", logits=logits)
    params = {"baseline": baseline} | settings_of(shape, kind)
    for item in attribute(model, image, f"shapley_{kind}", **params):
        expected = on_voxels(phi, supervoxels, CLASS_NAMES.index(item.class_name), n_channels)
        for channel in item.values.reshape(n_channels, *shape):
            np.testing.assert_allclose(channel, expected, rtol=0, atol=1e-10 * np.abs(expected).max())


@pytest.mark.parametrize("aggregation", ["sum", "mean", "probability", "margin"])
@pytest.mark.parametrize("method", ["shapley_cubes", "shapley_semantic", "kernelshap_cubes"])
def test_values_sum_to_the_drop_of_the_output(method, aggregation):
    model = smooth_model(overlap=0.5, blend="gaussian")
    image = random_image(1, 13, 9, 10)
    params = {"cube_side": 5} if "cubes" in method else {}
    for item in attribute(model, image, method, aggregation=aggregation, n_samples=60, **params):
        c = CLASS_NAMES.index(item.class_name)
        with torch.no_grad():
            drop = f_hat(model, image, image, c, aggregation) - f_hat(model, 0 * image, image, c, aggregation)
        assert item.values.sum() == pytest.approx(float(drop), rel=1e-9)
        assert item.info["output_difference"] == pytest.approx(float(drop), rel=1e-9)
        assert item.info["completeness_residual"] < 1e-9


def pointwise_model(weights, **settings):
    """Logits that are multiples of each voxel's own value."""
    network = nn.Conv3d(1, len(weights), 1, bias=False).double()
    with torch.no_grad():
        network.weight.copy_(torch.tensor(weights, dtype=torch.float64).reshape(-1, 1, 1, 1, 1))
    names = [f"class_{c}" for c in range(len(weights))]
    return wrap_network(network, names, (4, 4, 4), **settings)


def test_a_linear_model_by_hand():
    """phi of a cube for class c is a_c times what the voxels of c in the cube sum to."""
    model = pointwise_model([2.0, -3.0], overlap=0.5, blend="gaussian")
    image = torch.arange(1.0, 7.0, dtype=torch.float64)[None, :, None, None].expand(1, 6, 4, 4)
    labels = np.zeros((6, 4, 4), np.uint8)
    labels[2:] = 1
    labels[:, :, 3] = 0
    ones = np.ones(labels.shape)
    prediction = Prediction(labels, model.class_names, ones, ones)
    first, second = attribute(
        model, image, "shapley_cubes", prediction=prediction, cube_side=4, spread="repeat"
    )
    n = 4 * 4  # voxels with one value
    expected = 2.0 * (n * (1 + 2) + n / 4 * (3 + 4)), 2.0 * n / 4 * (5 + 6)
    np.testing.assert_allclose(first.values[:4], expected[0], rtol=1e-12)
    np.testing.assert_allclose(first.values[4:], expected[1], rtol=1e-12)
    expected = -3.0 * 0.75 * n * (3 + 4), -3.0 * 0.75 * n * (5 + 6)
    np.testing.assert_allclose(second.values[:4], expected[0], rtol=1e-12)
    np.testing.assert_allclose(second.values[4:], expected[1], rtol=1e-12)
    params = {"prediction": prediction, "cube_side": 4, "spread": "even"}
    for even, repeat in zip(attribute(model, image, "shapley_cubes", **params), (first, second), strict=True):
        np.testing.assert_allclose(even.values[:4] * 64, repeat.values[:4], rtol=1e-12)
        np.testing.assert_allclose(even.values[4:] * 32, repeat.values[4:], rtol=1e-12)
    own, other = attribute(model, image, "shapley_semantic", prediction=prediction, spread="repeat")
    assert (own.values[labels == 1] == 0).all()
    assert (other.values[labels == 0] == 0).all()
    assert own.values[labels == 0][0] == pytest.approx(2.0 * (n * (1 + 2) + n / 4 * (3 + 4 + 5 + 6)))


class Counter:
    """Windows that pass a model's network."""

    def __init__(self, model):
        self.n = 0
        model.network.register_forward_hook(self)

    def __call__(self, network, inputs, output):
        self.n += len(output)


def n_coalitions(model, shape, side, needed=lambda window: True):
    """2^k of every needed window, counted from the cubes themselves."""
    ids = twin.cubes(shape, side)
    tiling = Tiling(model.windows, shape)
    return [2 ** len(np.unique(ids[window])) for window in tiling.windows if needed(window)]


@pytest.mark.parametrize("window_batch", [1, 5])
def test_passes_are_all_coalitions_of_each_window_and_one_empty_window_for_all(window_batch):
    model = smooth_model(overlap=0.25)
    shape, side = (13, 4, 17), 4
    image = random_image(1, *shape)
    prediction = predict(model, image)
    counter = Counter(model)
    params = {"prediction": prediction, "cube_side": side, "window_batch": window_batch}
    items = list(attribute(model, image, "shapley_cubes", **params))
    counts = n_coalitions(model, shape, side)
    assert len(set(counts)) > 2
    assert counter.n == sum(counts) - (len(counts) - 1)
    assert max(item.info["n_window_passes"] for item in items) <= counter.n
    geometry = Geometry(Tiling(model.windows, shape), 1, 4, 4)
    method = make_method("shapley_cubes", {"cube_side": side})
    assert method.passes(geometry).forward == sum(counts)


def test_windows_without_the_class_are_not_evaluated_and_the_count_is_reported():
    model = smooth_model(overlap=0, window_shape=(8, 8, 8))
    image = random_image(1, 24, 8, 8)
    like = predict(model, image)
    labels = np.zeros_like(like.labels)
    labels[:3] = 1
    labels[20:] = 2
    prediction = Prediction(labels, CLASS_NAMES, like.own_logit, like.own_probability)
    counter = Counter(model)
    for name, window in [("left", slice(0, 8)), ("right", slice(16, 24))]:
        counter.n = 0
        (item,) = attribute(model, image, "shapley_cubes", [name], prediction=prediction, cube_side=6)
        k = len(np.unique(twin.cubes((24, 8, 8), 6)[window]))
        assert counter.n == item.info["n_window_passes"] == 2**k
        assert not item.values[: 6 if name == "right" else 0].any()
        counter.n = 0
    assert not list(attribute(model, image, "shapley_cubes", ["middle"], prediction=prediction))
    assert counter.n == 0


def test_a_player_that_is_the_baseline_already_costs_nothing_and_is_worth_nothing():
    model = smooth_model(overlap=0)
    image = random_image(1, 16, 8, 8)
    image[:, :4] = 0
    prediction = predict(model, image)
    counter = Counter(model)
    for method, params in [("shapley_cubes", {}), ("kernelshap_cubes", {"n_samples": 3000})]:
        counter.n = 0
        items = list(attribute(model, image, method, prediction=prediction, cube_side=4, **params))
        assert counter.n == 2**4 + 2**8 - 1
        assert all((item.values[:4] == 0).all() and item.values[4:].any() for item in items)


def test_a_scan_that_is_its_own_baseline_has_no_players():
    model = smooth_model()
    image = torch.full((1, 9, 8, 8), 0.5, dtype=torch.float64)
    for method in ("shapley_cubes", "kernelshap_cubes", "kernelshap_semantic", "shapley_semantic"):
        for item in attribute(model, image, method, baseline="mean"):
            assert not item.values.any()
            assert item.info["completeness_residual"] is None


def test_the_paper_sized_plan():
    """A 300^3 scan, 96^3 windows at a quarter overlap: 2,544 passes, and its rivals' 64,000."""
    geometry = Geometry(Tiling(WindowSettings(shape=(96, 96, 96), overlap=0.25), (300, 300, 300)), 1, 17, 17)
    assert make_method("shapley_cubes").passes(geometry).forward == 2544
    assert make_method("kernelshap_cubes").passes(geometry).forward <= 2544
    many = make_method("kernelshap_cubes", {"n_cubes": 512, "n_samples": 2048})
    assert many.passes(geometry).forward == 64 * 2050
    assert make_method("shapley_semantic").passes(geometry).forward == 64 * 1026
    exact = make_method("shapley_semantic", {"max_exact_players": 13})
    assert exact.passes(geometry).forward == 64 * 8192  # of windows that hold 13 of the 17 classes


METHODS = [
    ("shapley_cubes", {"cube_side": 7}),
    ("shapley_cubes", {"cube_side": 7, "max_exact_players": 4, "n_samples": 40}),
    ("shapley_semantic", {}),
    ("kernelshap_cubes", {"cube_side": 5, "n_samples": 100}),
    ("kernelshap_semantic", {"n_samples": 8, "ridge": 0.1}),
]
IMAGE = random_image(1, 13, 9, 17, dtype=torch.float32)


def by_class(method, **params):
    model = smooth_model(torch.float32, overlap=0.25, blend="gaussian")
    return {item.class_name: item for item in attribute(model, IMAGE, method, **params)}


@pytest.mark.parametrize(("method", "params"), METHODS)
@pytest.mark.parametrize("window_batch", [1, 4])
def test_any_group_of_classes_gives_the_same_bits(method, params, window_batch):
    together = by_class(method, window_batch=window_batch, **params)
    pairs = by_class(method, window_batch=window_batch, class_batch=2, **params)
    for name, item in together.items():
        alone = by_class(method, classes=[name], window_batch=window_batch, **params)[name]
        assert alone.values.tobytes() == item.values.tobytes() == pairs[name].values.tobytes()
        assert alone.info == item.info == pairs[name].info


@pytest.mark.parametrize(("method", "params"), METHODS)
def test_one_game_serves_all_classes_however_few_are_held(method, params):
    model = smooth_model(torch.float32, overlap=0.25, blend="gaussian")
    prediction, tallies = predict(model, IMAGE), []
    for class_batch in (None, 1):
        alive = []
        with counted(model) as (model, tally):
            settings = {"prediction": prediction, "class_batch": class_batch} | params
            for item in attribute(model, IMAGE, method, **settings):
                alive.append(weakref.ref(item.values))
                assert sum(volume() is not None for volume in alive) <= 2
        assert len(alive) == len(prediction.present) > 2
        tallies.append(tally)
    assert tallies[0] == tallies[1]
    assert tallies[0].forward > 0 == tallies[0].backward
    geometry = Geometry(Tiling(model.windows, IMAGE.shape[1:]), 1, model.n_classes, model.n_classes)
    cost = WindowCost(1.0, 1.0, 1000)
    estimates = [
        estimate(model, make_method(method, params), IMAGE.shape[1:], 4, Execution(class_batch=n), cost)
        for n in (None, 1)
    ]
    assert estimates[0] == estimates[1]
    assert estimates[0].passes == make_method(method, params).passes(geometry)


@pytest.mark.parametrize(("method", "params"), METHODS)
def test_window_batch_changes_no_more_than_rounding(method, params):
    one, several = (by_class(method, window_batch=n, **params) for n in (1, 7))
    for name, item in one.items():
        assert np.abs(item.values - several[name].values).max() <= 1e-5 * np.abs(item.values).max()


def test_windows_with_many_players_are_sampled_with_an_honest_standard_error():
    model = smooth_model(overlap=0.25)
    image = random_image(1, 13, 8, 8)
    prediction = predict(model, image)

    def explain(**params):
        given = {"prediction": prediction, "cube_side": 4} | params
        return {i.class_name: i for i in attribute(model, image, "shapley_cubes", **given)}

    exact = explain(max_exact_players=16)
    assert all(item.info["exact_mass_share"] == 1 for item in exact.values())
    counts = n_coalitions(model, (13, 8, 8), 4)
    few = sum(n <= 2**8 for n in counts)
    assert 0 < few < len(counts)
    claimed, found, largest = [], [], []
    for seed in range(40):
        for name, item in explain(max_exact_players=8, n_samples=64, seed=seed).items():
            assert item.info["exact_window_share"] == few / len(counts)
            assert 0 < item.info["exact_mass_share"] < 1
            assert item.info["completeness_residual"] < 1e-9
            players = [
                np.array([v.values[twin.cubes((13, 8, 8), 4) == i].sum() for i in range(16)])
                for v in (item, exact[name])
            ]
            claimed.append(item.info["relative_standard_error"] ** 2 * (players[0] ** 2).sum())
            found.append(((players[0] - players[1]) ** 2).sum())
            largest.append(np.abs(players[0] - players[1]).max() / item.info["largest_standard_error"])
    assert 0.7 < np.sqrt(np.mean(claimed) / np.mean(found)) < 1.4
    assert np.mean(np.array(largest) < 3) > 0.9
    better = explain(max_exact_players=8, n_samples=1000)
    for name, item in better.items():
        error = np.abs(item.values - exact[name].values).max()
        rough = explain(max_exact_players=8, n_samples=64)[name]
        assert error < 0.6 * np.abs(rough.values - exact[name].values).max()


def test_the_seed_chooses_the_sample_and_matters_only_there():
    sampled = {"cube_side": 7, "max_exact_players": 4, "n_samples": 40}
    values = [by_class("shapley_cubes", seed=seed, **sampled)["left"].values for seed in (0, 0, 1)]
    assert values[0].tobytes() == values[1].tobytes() != values[2].tobytes()
    exact = [by_class("shapley_cubes", seed=seed, cube_side=7)["left"].values for seed in (0, 1)]
    assert exact[0].tobytes() == exact[1].tobytes()


def test_progress_ends_at_its_total():
    for method, params in METHODS:
        told = []
        by_class(method, progress=lambda done, total, told=told: told.append((done, total)), **params)
        assert [done for done, _ in told] == list(range(1, len(told) + 1))
        assert {total for _, total in told} == {len(told)}


@pytest.mark.parametrize("method", ["shapley_cubes", "shapley_semantic", "kernelshap_cubes"])
@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"aggregation": "median"}, "not linear"),
        ({"spread": "thin"}, "even, repeat"),
        ({"baseline": "noise"}, "zero, mean, blur, air"),
        ({"n_samples": 1}, "2 or more"),
    ],
)
def test_what_has_no_meaning_is_refused(method, params, message):
    with pytest.raises(UsageError, match=message):
        attribute(smooth_model(), random_image(1, 8, 8, 8), method, **params)


def test_limits_of_the_window_local_methods():
    for n in (0, 17):
        with pytest.raises(UsageError, match="1 to 16"):
            make_method("shapley_cubes", {"max_exact_players": n})
