"""Parameters: what stored results are told apart by, letter for letter, and what is refused."""

import pytest

from agg2exp_core.attribution import METHODS, make_method, parameters
from agg2exp_core.errors import UsageError
from agg2exp_core.store import identity

GAME = {"baseline": "zero", "spread": "even", "aggregation": "sum"}
CUBES = {"cube_side": 128, "n_cubes": None}
DEFAULTS = {
    "vanilla_gradient": {"aggregation": "sum"},
    "smoothgrad": {"n_samples": 20, "sigma": 0.1, "aggregation": "sum"},
    "integrated_gradients": {
        "n_steps": 20,
        "quadrature": "right",
        "baseline": "zero",
        "aggregation": "sum",
    },
    "kernelshap_cubes": GAME | {"n_samples": 1000, "ridge": 0.0} | CUBES,
    "kernelshap_semantic": GAME | {"n_samples": 200, "ridge": 0.0},
    "shapley_cubes": GAME | {"max_exact_players": 10, "n_samples": 1024} | CUBES,
    "shapley_semantic": GAME | {"max_exact_players": 10, "n_samples": 1024},
    "captum:Saliency": {"abs": True, "aggregation": "sum"},
    "captum:IntegratedGradients": {
        "baselines": "zero",
        "n_steps": 50,
        "method": "gausslegendre",
        "aggregation": "sum",
    },
    "captum:GradientShap": {"baselines": "zero", "n_samples": 5, "stdevs": 0.0, "aggregation": "sum"},
    "captum:KernelShap": {
        "baselines": "zero",
        "feature_mask": "semantic",
        "n_samples": 25,
        "perturbations_per_eval": 1,
        "aggregation": "sum",
    },
}
GIVEN = [
    ("smoothgrad", {"sigma": "1", "n_samples": "5"}, {"sigma": 1.0, "n_samples": 5}),
    ("smoothgrad", {"sigma": 1, "aggregation": "roi:liver"}, {"sigma": 1.0, "aggregation": "roi:liver"}),
    ("integrated_gradients", {"baseline": -1, "quadrature": "midpoint"}, None),
    ("integrated_gradients", {"baseline": "0.20"}, {"baseline": "0.2"}),
    ("integrated_gradients", {"baseline": 0}, {}),
    ("kernelshap_cubes", {"ridge": "1", "n_cubes": "64"}, {"ridge": 1.0, "n_cubes": 64}),
    ("shapley_cubes", {"n_cubes": "none", "cube_side": "64"}, {"cube_side": 64}),
    ("captum:Saliency", {"abs": "false"}, {"abs": False}),
    ("captum:KernelShap", {"feature_mask": "cubes:8"}, {"feature_mask": "cubes:8"}),
    ("captum:GradientShap", {"baselines": "0.50", "stdevs": "1"}, {"baselines": "0.5", "stdevs": 1.0}),
]


def exactly(found):
    """Values with their types: 1 is not 1.0 where results are told apart by JSON."""
    return {name: (type(value), value) for name, value in found.items()}


@pytest.mark.parametrize("name", DEFAULTS)
def test_of_every_default_method(name):
    assert exactly(parameters(make_method(name))) == exactly(DEFAULTS[name])


def test_no_method_is_left_out():
    assert DEFAULTS.keys() >= METHODS.keys()


@pytest.mark.parametrize(("name", "given", "changed"), GIVEN)
def test_of_given_parameters(name, given, changed):
    changed = {"baseline": "-1.0", "quadrature": "midpoint"} if changed is None else changed
    assert exactly(parameters(make_method(name, given))) == exactly(DEFAULTS[name] | changed)


def test_of_sizes_for_each_axis():
    given = {"sliding_window_shapes": "6,5,4", "strides": "4"}
    found = parameters(make_method("captum:Occlusion", given))
    assert found == {
        "sliding_window_shapes": (6, 5, 4),
        "strides": 4,
        "baselines": "zero",
        "perturbations_per_eval": 1,
        "aggregation": "sum",
    }


def test_the_identity_that_stores_hold():
    """Of a store of an earlier release: recomputing it means explaining every scan again."""
    method = make_method("smoothgrad", {"n_samples": "5"})
    name = identity(method=method.name, params=parameters(method), seed=0)
    assert name == "4cd156020d78f2f1868e15f3bcdb0b41620164bc515fbf171d9819db0b64bc6a"


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("smoothgrad", {"n_samples": True}, "n_samples: True; allowed: a whole number"),
        ("smoothgrad", {"sigma": "nan"}, "sigma: 'nan'; allowed: a finite number"),
        ("smoothgrad", {"sigma": "inf"}, "sigma: 'inf'; allowed: a finite number"),
        ("smoothgrad", {"sigma": -1}, "sigma: -1; allowed: 0 or more; give sigma in that range"),
        ("shapley_cubes", {"n_cubes": "few"}, "n_cubes: 'few'; allowed: a whole number or none"),
        ("shapley_cubes", {"spread": "thin"}, "spread: 'thin'; allowed: even, repeat; pick one of them"),
        ("smoothgrad", {"n_sample": 3}, "n_sample: 'n_sample'; allowed: aggregation, n_samples, sigma; did"),
        ("smoothgrad", {"aggregation": "sum:liver"}, "aggregation: 'sum:liver'; allowed: sum, mean"),
        ("captum:Occlusion", {"sliding_window_shapes": "8,0,8"}, "one for each axis such as 8,8,8"),
    ],
)
def test_what_is_refused(name, given, said):
    with pytest.raises(UsageError) as caught:
        make_method(name, given)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "streams", "joint", "players"),
    [
        ("smoothgrad", True, False, False),
        ("kernelshap_semantic", False, True, True),
        ("shapley_cubes", False, True, True),
        ("captum:KernelShap", False, False, False),
    ],
)
def test_what_a_method_says_it_can_do(name, streams, joint, players):
    method = make_method(name)
    assert (method.streams, method.joint, method.players) == (streams, joint, players)


@pytest.mark.parametrize(
    ("aggregation", "region"), [("roi:liver", "liver"), ("roi", ""), ("sum", None), ("roi:a:b", "a:b")]
)
def test_the_region_of_a_method(aggregation, region):
    assert make_method("vanilla_gradient", {"aggregation": aggregation}).region == region
