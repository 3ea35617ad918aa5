import json

import pandas as pd
import pytest

from agg2exp_core.figures import to_png
from agg2exp_core.figures.benchmark import benchmark_figure
from agg2exp_core.metrics.table import by_class, summarise, to_latex, to_markdown, wide, yardstick_note


@pytest.fixture
def scores():
    rows = [
        (scan, name, label, metric, value)
        for scan, plus in (("a", 0.0), ("b", 0.2))
        for name in ("aorta", "heart")
        for label, metric, value in (
            ("vg", "faithfulness", 0.1 + plus),
            ("sg", "faithfulness", 0.5 + plus),
            ("vg", "complexity", 0.01),
            ("sg", "complexity", 0.3),
        )
    ]
    frame = pd.DataFrame(rows, columns=["scan", "class", "label", "metric", "value"])
    frame["method"] = frame["label"].map({"sg": "smoothgrad", "vg": "vanilla_gradient"})
    frame["details"] = "{}"
    frame["direction"] = frame["metric"].map({"faithfulness": "higher", "complexity": "lower"})
    return frame


def test_means_and_deviations_are_over_scans_and_classes_and_the_best_follows_the_direction(scores):
    table = summarise(scores)
    row = table.loc[("smoothgrad", "faithfulness")]
    assert (row["mean"], row["n"]) == (pytest.approx(0.6), 4)
    assert row["sd"] == pytest.approx((4 * 0.01 / 3) ** 0.5)
    assert list(table[table["best"]].index) == [
        ("smoothgrad", "faithfulness"),
        ("vanilla_gradient", "complexity"),
    ]


def test_the_texts_mark_the_best(scores):
    text = to_markdown(wide(summarise(scores)))
    assert text.splitlines()[0] == "| method | faithfulness ↑ | complexity ↓ |"
    assert "| smoothgrad | **0.6 ± 0.12** | 0.3 ± 0 |" in text
    assert r"smoothgrad & \underline{0.6 $\pm$ 0.12} & 0.3 $\pm$ 0 \\" in to_latex(summarise(scores))


def test_a_method_without_a_metric_leaves_its_cell_empty(scores):
    few = scores[~((scores["label"] == "sg") & (scores["metric"] == "complexity"))]
    assert "| smoothgrad | **0.6 ± 0.12** |  |" in to_markdown(wide(summarise(few)))


def test_a_method_that_was_run_in_two_ways_has_a_row_for_each(scores):
    scores["method"] = "smoothgrad"
    assert list(wide(summarise(scores)).index) == ["vg", "sg"]
    assert by_class(scores).index.get_level_values("method").unique().tolist() == ["vg", "sg"]


def test_the_note_says_how_exact_the_yardstick_was(scores):
    assert yardstick_note(scores) == ""
    scores["metric"] = "roi_distance"
    told = [{"exact_mass_share": 0.5 + n / 40, "relative_standard_error": n / 100} for n in range(16)]
    scores["details"] = [json.dumps(info) for info in told]
    assert yardstick_note(scores).startswith("roi_distance: of the yardstick's mass 0.688 was solved exactly")
    assert "at least 0.5)" in yardstick_note(scores)
    assert "at most 0.15." in yardstick_note(scores)


def test_classes_apart(scores):
    assert by_class(scores).loc[("aorta", "vanilla_gradient"), "faithfulness"] == pytest.approx(0.2)


def test_the_figure_is_drawn(scores):
    assert to_png(benchmark_figure(summarise(scores)))[:4] == b"\x89PNG"
