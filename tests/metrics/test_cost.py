"""Counts of window passes, and the hours that the paper's seconds make of them."""

import pytest

from agg2exp_core.attribution import METHODS, make_method
from agg2exp_core.attribution.method import Geometry, Passes
from agg2exp_core.metrics import METRICS, make_metric
from agg2exp_core.metrics.cost import (
    PAPER_SECONDS,
    a100_hours,
    in_procedure,
    our_passes,
    procedure_passes,
    shared_passes,
)
from agg2exp_core.windows import Tiling, WindowSettings

ONE_CLASS, ALL_CLASSES = (
    Geometry(Tiling(WindowSettings(shape=(96, 96, 96), overlap=0.25), (300, 300, 300)), 1, 17, n)
    for n in (1, 17)
)


@pytest.mark.parametrize("name", PAPER_SECONDS)
def test_two_of_the_papers_seconds_give_those_of_all_five_methods(name):
    passes = procedure_passes(ONE_CLASS, [make_method(name)], [])
    seconds = 3600 * a100_hours(passes, ONE_CLASS.n_windows)
    assert seconds == pytest.approx(PAPER_SECONDS[name], rel=0.15 if name == "vanilla_gradient" else 0.01)


def test_the_procedure_has_five_methods_and_four_metrics():
    methods, metrics = in_procedure(
        [make_method(name) for name in METHODS], [make_metric(name) for name in METRICS]
    )
    assert {method.name for method in methods} == METHODS.keys() - {"shapley_cubes", "shapley_semantic"}
    assert {metric.name for metric in metrics} == {"faithfulness", "sensitivity", "complexity", "efficiency"}
    exact = [make_method("shapley_semantic")]
    assert procedure_passes(ALL_CLASSES, exact, metrics) == Passes(0)


def test_perturbed_passes_are_shared_by_methods_and_classes():
    faithfulness = [make_metric("faithfulness")]
    assert shared_passes(ALL_CLASSES, faithfulness) == shared_passes(ONE_CLASS, faithfulness) == (101 * 64, 0)
    two = [make_method("vanilla_gradient"), make_method("smoothgrad")]
    ours = our_passes(ALL_CLASSES, two, faithfulness)
    assert ours == our_passes(ALL_CLASSES, two, []).plus(Passes(101 * 64))
    theirs = procedure_passes(ALL_CLASSES, two, faithfulness)
    assert theirs == procedure_passes(ALL_CLASSES, two, []).plus(Passes(2 * 17 * 101 * 64))
