import json

import pandas as pd
import pytest

from agg2exp_core.figures import to_png
from agg2exp_core.figures.score_figures import benchmark_figure
from agg2exp_core.metrics.notes import options_note, reference_note, sampling_note
from agg2exp_core.metrics.ranking import rank_rois, ranking_to_texts, variants_to_texts
from agg2exp_core.metrics.regions import DROP_VARIANTS
from agg2exp_core.metrics.table import (
    classes_to_markdown,
    scores_by_class,
    summarise,
    to_latex,
    to_markdown,
    wide,
)


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
    frame["recipe"] = frame["metric"].map(lambda name: json.dumps({"metric": name, "n": 5, "left_out": None}))
    frame["parameters"] = frame["label"].map(lambda name: json.dumps({"params": {"of": name}, "seed": 0}))
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
    assert r"smoothgrad & \underline{0.6 $\pm$ 0.12} & 0.3 $\pm$ 0 \\" in to_latex(wide(summarise(scores)))


def test_a_method_without_a_metric_leaves_its_cell_empty(scores):
    few = scores[~((scores["label"] == "sg") & (scores["metric"] == "complexity"))]
    assert "| smoothgrad | **0.6 ± 0.12** |  |" in to_markdown(wide(summarise(few)))


def test_a_method_that_was_run_in_two_ways_has_a_row_for_each(scores):
    scores["method"] = "smoothgrad"
    assert list(wide(summarise(scores)).index) == ["vg", "sg"]
    assert scores_by_class(scores).index.get_level_values("method").unique().tolist() == ["vg", "sg"]


def test_the_note_says_how_exact_the_reference_was(scores):
    assert reference_note(scores) == ""
    scores["metric"] = "roi_distance"
    told = [{"exact_mass_share": 0.5 + n / 40, "relative_standard_error": n / 100} for n in range(16)]
    scores["details"] = [json.dumps(info) for info in told]
    assert reference_note(scores).startswith(
        "roi_distance: of the reference method's mass 0.688 was solved exactly"
    )
    assert "at least 0.5)" in reference_note(scores)
    assert "at most 0.15." in reference_note(scores)


def test_the_options_of_metrics_and_methods_are_said(scores):
    lines = options_note(scores).splitlines()
    assert "- faithfulness: n=5" in lines
    assert "- smoothgrad: of=sg, seed=0" in lines
    assert "not to be compared" not in options_note(scores)


def test_a_metric_with_other_options_for_one_method_is_said_to_be_no_comparison(scores):
    scores.loc[scores["label"] == "sg", "recipe"] = json.dumps({"metric": "faithfulness", "n": 7})
    told = options_note(scores[scores["metric"] == "faithfulness"])
    assert "- faithfulness: **taken with different options, which are not to be compared**" in told
    assert "- faithfulness (vanilla_gradient): n=5" in told
    assert "- faithfulness (smoothgrad): n=7" in told


def test_the_uncertainty_of_scores_is_said_where_they_rest_on_samples(scores):
    scores["standard_error"] = float("nan")
    assert sampling_note(scores) == ""
    sampled = scores["metric"] == "faithfulness"
    scores.loc[sampled, "standard_error"] = [0.01 * n for n in range(1, 9)]
    assert "one class and scan: faithfulness 0.045, at most 0.08." in sampling_note(scores)


def test_classes_apart(scores):
    table = scores_by_class(scores)
    assert table.loc[("aorta", "vanilla_gradient", "faithfulness"), "mean"] == pytest.approx(0.2)
    assert table.loc[("aorta", "vanilla_gradient", "faithfulness"), "n"] == 2
    told = classes_to_markdown(table)
    assert told.count("| method | faithfulness ↑ | complexity ↓ |") == 2
    assert told.startswith("## aorta\n")
    assert "| vanilla_gradient | 0.2 ± 0.14 | **0.01 ± 0** |" in told


def of_regions(distances, predictions):
    """Scores of both region metrics, two scans a method."""
    rows = []
    for method in distances:
        for scan, plus in (("a", -0.1), ("b", 0.1)):
            shared = {"scan": scan, "class": "aorta", "label": method, "method": method}
            exact = {"exact_mass_share": 0.5 - plus, "relative_standard_error": 0.2 + plus}
            distance = exact | {"of_others": distances[method] / 2}
            drops = {name: predictions[method] / (1 + n) for n, name in enumerate(DROP_VARIANTS)}
            rows += [
                shared | {"metric": metric, "value": value + plus, "details": json.dumps(details)}
                for metric, value, details in (
                    ("roi_distance", distances[method], distance),
                    ("roi_faithfulness", predictions[method], drops),
                )
            ]
    return pd.DataFrame(rows)


def test_methods_are_ranked_by_distance_and_by_output_drop():
    distances = {"vg": 0.4, "ig": 0.3, "ks": 0.2, "shapley_semantic": 0.1}
    predictions = {"vg": 0.8, "ig": 0.9, "ks": 0.7, "shapley_semantic": 0.85}
    table = rank_rois(of_regions(distances, predictions))
    assert list(table.index) == ["ks", "ig", "vg", "shapley_semantic"]
    assert table["rank_distance"].to_dict() == pytest.approx(
        {"ks": 1, "ig": 2, "vg": 3, "shapley_semantic": float("nan")}, nan_ok=True
    )
    assert table["rank_output_drop"].dropna().to_dict() == {"ig": 1, "vg": 2, "ks": 3}
    assert table.loc["ig", "distance"] == pytest.approx(0.3)
    assert table.loc["ig", "distance_sd"] == pytest.approx(0.1 * 2**0.5)
    assert table.loc["ig", "distance_of_others"] == pytest.approx(0.15)
    assert table.loc["ig", "exact_mass_share"] == pytest.approx(0.5)
    assert table.loc["ig", "relative_standard_error"] == pytest.approx(0.3)
    assert table.loc["ig", DROP_VARIANTS[3]] == pytest.approx(0.9 / 4)
    told = to_markdown(ranking_to_texts(table)).splitlines()
    assert told[2] == "| ks | 1 | 0.2 ± 0.14 | 0.1 | 0.5 | 0.3 | 3 | 0.7 ± 0.14 |"
    assert told[-1].startswith("| shapley_semantic |  | 0.1 ± 0.14 |")
    variants = variants_to_texts(table)
    assert variants.loc["ks", "Spearman ↑"] == "0.7"
    assert "others: signed Pearson ↑" in variants.columns
    assert to_latex(variants).count(r"\uparrow") == len(DROP_VARIANTS)


def test_a_ranking_by_one_metric_alone_has_the_columns_of_that_one():
    scores = of_regions({"vg": 0.4, "ig": 0.3}, {"vg": 0.8, "ig": 0.9})
    table = rank_rois(scores[scores["metric"] == "roi_faithfulness"])
    assert list(table.index) == ["ig", "vg"]
    assert list(ranking_to_texts(table).columns) == ["rank by output drop", "output drop ↑"]
    assert rank_rois(scores[scores["metric"] == "none"]).empty


def test_the_figure_is_drawn(scores):
    assert to_png(benchmark_figure(summarise(scores)))[:4] == b"\x89PNG"
