"""Table 3 and its tests, against formulas and libraries of others."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import binary_erosion, distance_transform_edt
from scipy.stats import f, f_oneway, ttest_rel

from agg2exp_core.errors import UsageError
from agg2exp_core.figures import to_png
from agg2exp_core.figures.score_figures import dice_figure
from agg2exp_core.labels import THORAX_CLASSES
from agg2exp_core.training.evaluation import SegmentedScan, score_scans
from agg2exp_core.training.table3 import (
    COLUMNS,
    holm,
    repeated_measures,
    significance_tests,
    sphericity,
    table3_latex,
    table3_markdown,
    table_3,
)


@pytest.fixture
def scores():
    """Three models, the second always a little better, on six scans."""
    random = np.random.default_rng(0)
    hardness = random.uniform(0, 0.3, 6)
    rows = [
        {"model": model, "scan": f"s{scan}", "class": name, "dice": dice}
        for model, better in (("net_a", 0.0), ("net_b", 0.03), ("net_c", 0.0))
        for scan in range(6)
        for name in THORAX_CLASSES[1:]
        for dice in [0.8 - hardness[scan] + better + random.normal(0, 0.02)]
    ]
    table = pd.DataFrame(rows)
    table["iou"] = table["dice"] / (2 - table["dice"])
    table["surface_dice"] = table["dice"] + 0.1
    return table


def test_columns_are_every_structure_once():
    parts = list(itertools.chain(*COLUMNS.values()))
    assert sorted(parts) == sorted(THORAX_CLASSES[1:])


def test_lungs_and_back_are_means_of_their_parts(scores):
    table = table_3(scores)
    assert list(table.columns) == [*COLUMNS, "mDSC", "mIoU", "mSD"]
    rows = scores.to_dict("records")
    mean = {
        (model, name): np.mean([row["dice"] for row in rows if (row["model"], row["class"]) == (model, name)])
        for model in table.index
        for name in THORAX_CLASSES
        if name != "background"
    }
    for model in table.index:
        lobes = [f"lung_{lobe}_lobe_right" for lobe in ("upper", "middle", "lower")]
        assert table.loc[model, "RL"] == pytest.approx(np.mean([mean[model, lobe] for lobe in lobes]))
        assert table.loc[model, "AU"] == pytest.approx(
            (mean[model, "autochthon_left"] + mean[model, "autochthon_right"]) / 2
        )
        assert table.loc[model, "mDSC"] == pytest.approx(
            np.mean([mean[model, c] for c in THORAX_CLASSES[1:]])
        )


def test_what_the_scans_have_in_common_hides_a_difference_from_the_papers_test_alone(scores):
    found = significance_tests(scores).set_index("test")
    assert found.loc["one-way ANOVA (paper)", "p"] > 0.3
    assert found.loc["repeated-measures ANOVA", "p"] < 1e-3
    assert found.loc["Friedman", "p"] < 0.05
    values = [g.groupby("scan")["dice"].mean() for _, g in scores.groupby("model")]
    assert found.loc["one-way ANOVA (paper)", "statistic"] == pytest.approx(f_oneway(*values).statistic)
    pairs = found.loc["Wilcoxon"].set_index("models")
    assert set(pairs.index) == {"net_a - net_b", "net_a - net_c", "net_b - net_c"}
    assert (pairs["p_holm"] >= pairs["p"]).all()
    means = {name: g["dice"].mean() for name, g in scores.groupby("model")}
    assert pairs.loc["net_a - net_b", "difference"] == pytest.approx(means["net_a"] - means["net_b"])


def test_of_two_models_repeated_measures_are_the_paired_t_test():
    values = np.random.default_rng(1).normal(size=(9, 2))
    statistic, p = repeated_measures(values)
    twin = ttest_rel(values[:, 0], values[:, 1])
    assert statistic == pytest.approx(twin.statistic**2)
    assert p == pytest.approx(twin.pvalue)


def test_sphericity_is_one_where_all_pairs_differ_alike_and_lowest_where_one_model_does_all():
    random = np.random.default_rng(2)
    alike = random.normal(size=(4000, 1)) + random.normal(size=(4000, 4))
    assert sphericity(alike) == pytest.approx(1, abs=0.01)
    one = np.zeros((9, 4))
    one[:, 2] = random.normal(size=9)
    assert sphericity(one) == pytest.approx(1 / 3)
    assert sphericity(0.001 * one) == pytest.approx(1 / 3)
    assert sphericity(random.normal(size=(9, 2))) == pytest.approx(1)
    assert sphericity(np.repeat(one[:, 2:3], 3, axis=1)) == 1


def test_without_sphericity_p_is_that_of_fewer_degrees_of_freedom():
    values = np.random.default_rng(3).normal(size=(12, 3)) * [1, 1, 6]
    statistic, p = repeated_measures(values)
    epsilon = sphericity(values)
    assert 0.5 <= epsilon < 0.75
    assert p == pytest.approx(f.sf(statistic, 2 * epsilon, 22 * epsilon))


@pytest.mark.parametrize(
    ("p", "expected"),
    [([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]), ([0.5, 0.6], [1.0, 1.0]), ([0.02], [0.02])],
)
def test_holm_is_what_one_works_out_by_hand(p, expected):
    assert np.allclose(holm(p), expected)


def test_equal_models_do_not_differ(scores):
    same = pd.concat([scores[scores["model"] == "net_a"].assign(model=name) for name in ("x", "y")])
    assert significance_tests(same).set_index("test").loc["Wilcoxon", "p"] == 1


def test_one_scan_tells_nothing(scores):
    with pytest.raises(UsageError, match="two or more"):
        significance_tests(scores[scores["scan"] == "s0"])


def test_texts_mark_the_best_and_latex_is_safe(scores):
    table = table_3(scores)
    markdown, latex = table3_markdown(table, significance_tests(scores)), table3_latex(table)
    best = f"{100 * table['mDSC'].max():.2f}"
    assert f"**{best}**" in markdown
    assert rf"\underline{{{best}}}" in latex
    assert r"net\_b" in latex
    assert "net_b" not in latex
    assert to_png(dice_figure(scores)).startswith(b"\x89PNG")


def test_overlap_and_surfaces_of_two_boxes():
    truth, found = np.zeros((2, 20, 20, 20), bool)
    truth[5:15, 5:15, 5:15] = True
    found[7:15, 5:15, 5:15] = True
    found[0, 0, 0] = True
    edges_mm = (2.0, 2.0, 3.0)
    scan = SegmentedScan("s", found.astype(np.uint8), truth.astype(np.int64), edges_mm)
    table = score_scans([scan], ["background", "box", "absent"], tolerance_mm=2.5)
    box = table.set_index("class").loc["box"]
    both, either = (truth & found).sum(), (truth | found).sum()
    assert box["dice"] == pytest.approx(2 * both / (truth.sum() + found.sum()))
    assert box["iou"] == pytest.approx(both / either)
    edges = [mask & ~binary_erosion(mask) for mask in (truth, found)]
    distances = [distance_transform_edt(~edge, sampling=edges_mm) for edge in edges]
    near = (distances[1][edges[0]] <= 2.5).sum() + (distances[0][edges[1]] <= 2.5).sum()
    assert box["surface_dice"] == pytest.approx(near / (edges[0].sum() + edges[1].sum()))
    assert np.isnan(table.set_index("class").loc["absent", "dice"])
