"""The cost table on a small case: counts that must hold; never its times."""

from statistics import median

import pytest

from benchmarks.metrics import quick


@pytest.fixture(scope="module")
def figures():
    return {row.what: median(row.figure.values) for row in quick()}


def total(figures, what):
    return sum(value for name, value in figures.items() if name.startswith(what) and "passes" in name)


@pytest.mark.slow
def test_the_ratio_is_that_of_the_counts(figures):
    ours, procedure = (total(figures, what) for what in ("five methods", "published procedure"))
    assert figures["times fewer passes"] == pytest.approx(procedure / ours)
    assert ours < total(figures, "seven methods")


@pytest.mark.slow
def test_the_procedure_is_counted_class_by_class_and_method_by_method(figures):
    n_classes, n_windows = int(figures["classes"]), int(figures["windows"])
    samples = {"vanilla": 1, "smoothgrad": 2, "integrated": 2, "cubes": 40, "semantic": 72}
    n_runs, n_subsets = 1 + 3, 10
    forward = sum(samples.values()) * n_runs + len(samples) * (n_subsets + 1)
    backward = (1 + 2 + 2) * n_runs
    assert figures["published procedure: forward passes"] == n_classes * n_windows * forward
    assert figures["published procedure: backward passes"] == n_classes * n_windows * backward


def test_on_paper_a_window_passes_backward_for_the_classes_it_holds(figures):
    held, all_classes = (
        figures[f"paper's 32 scans: {what}"]
        for what in (
            "backward passes, of classes that a window holds",
            "the same if every window held every class",
        )
    )
    assert 0.2 < held / all_classes < 0.8
