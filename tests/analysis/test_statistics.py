"""Tests, correlations and permutations against scipy, scikit-learn, and all permutations of small cases."""

from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats
from sklearn.metrics import roc_auc_score

from agg2exp_core.analysis import cohort_of, unusual_volume
from agg2exp_core.analysis.agreement import MEANS, agreement
from agg2exp_core.analysis.clusters import LINKAGES, cluster_classes
from agg2exp_core.analysis.cohort import log_ratios
from agg2exp_core.analysis.cohort_comparison import compare_entries, energy_distance
from agg2exp_core.analysis.detection import auroc, detection, risk_coverage, trust
from agg2exp_core.analysis.drift import LEAST_NEW, Watch, look_again
from agg2exp_core.analysis.groups import compare_groups
from agg2exp_core.analysis.report_terms import compare_terms, terms_of
from agg2exp_core.analysis.statistics import adjusted, permutation_p
from agg2exp_core.errors import UsageError
from tests.analysis.example import CLASSES, matrices

SCANS = [f"s{n}" for n in range(12)]


def field(values):
    values = np.asarray(values, float)
    return xr.DataArray(values, {"scan": SCANS[: len(values)], "target": list("ab")}, ("scan", "target"))


def scores(seed):
    return field(np.random.default_rng(seed).normal(size=(12, 2)))


def test_adjusted_p_values_by_hand():
    p = [0.01, np.nan, 0.04, 0.03]
    np.testing.assert_allclose(adjusted(p), [0.03, np.nan, 0.04, 0.04])


def test_permutation_p_is_never_zero():
    assert permutation_p(5.0, np.arange(4.0)) == pytest.approx(1 / 5)
    assert np.isnan(permutation_p(np.nan, np.arange(4.0)))


def test_agreement_is_scipys_spearman_per_class_and_of_the_means():
    score, dice = scores(1), scores(2)
    dice[3, 0] = np.nan
    table = agreement(score, dice).set_index("class")
    known = np.isfinite(dice[:, 0].values)
    expected = stats.spearmanr(score[known, 0], dice[known, 0])
    assert table.loc["a", ["n", "spearman", "p_value"]].tolist() == pytest.approx([11, *expected])
    means = [part.where(dice.notnull()).mean("target") for part in (score, dice)]
    assert table.loc[MEANS, "spearman"] == pytest.approx(stats.spearmanr(*means).statistic)
    np.testing.assert_allclose(
        table.loc[["a", "b"], "p_adjusted"], stats.false_discovery_control(table.loc[["a", "b"], "p_value"])
    )
    assert table.index[-1] == MEANS
    with pytest.raises(UsageError, match="--dice"):
        agreement(score, dice.assign_coords(scan=[f"x{n}" for n in range(12)]))


def test_detection_of_poor_scans():
    dice = field(np.column_stack([np.linspace(0.5, 1, 12)] * 2))
    perfect, useless = 1 - dice, field(np.ones((12, 2)))
    table = detection({"perfect": perfect, "useless": useless}, dice, 0.7).set_index(["sign", "unit"])
    assert table.loc[("perfect", "scan"), "n_poor"] == int((dice[:, 0] < 0.7).sum())
    assert table.loc[("perfect", "scan"), "auroc"] == 1
    assert table.loc[("perfect", "scan"), "aurc"] == table.loc[("perfect", "scan"), "aurc_best"]
    assert table.loc[("useless", "scan"), "auroc"] == 0.5
    assert table.loc[("useless", "scan"), "aurc"] == pytest.approx(
        table.loc[("useless", "scan"), "aurc_random"]
    )
    noisy = scores(3)
    found = detection({"noisy": noisy}, dice).set_index("unit").loc["scan and class"]
    poor = dice.values.ravel() <= np.quantile(dice, 0.2)
    assert found["auroc"] == pytest.approx(roc_auc_score(poor, noisy.values.ravel()))


def test_a_class_that_was_not_found_counts_against_the_scan():
    """Its Dice is 0 and it has no score: without it the worst scan would be the best."""
    dice, score = field(np.full((12, 2), 0.9)), field(np.ones((12, 2)))
    dice[:, 0] = np.linspace(0.8, 0.9, 12)
    dice[5], score[5] = [0.0, 0.95], [np.nan, 3.0]
    table = detection({"score": score}, dice, 0.7).set_index("unit")
    assert table.loc["scan", ["n", "n_poor", "auroc"]].tolist() == [12, 1, 1]
    assert table.loc["scan and class", ["n", "n_poor"]].tolist() == [23, 0]
    assert table.loc["scan", "aurc_best"] < table.loc["scan", "aurc_random"]
    told = agreement(score, dice).set_index("class")
    assert told.loc[MEANS, "n"] == 12
    assert told.loc[MEANS, "spearman"] == pytest.approx(
        stats.spearmanr(score.mean("target"), dice.mean("target")).statistic
    )


def test_risk_coverage_by_hand():
    np.testing.assert_allclose(
        risk_coverage(np.array([2.0, 1.0, 3.0]), np.array([0.4, 0.2, 0.9])), [0.2, 0.3, 0.5]
    )
    np.testing.assert_allclose(risk_coverage(np.array([1.0, 1.0]), np.array([0.0, 1.0])), [0.5, 0.5])


def test_curves_and_areas_of_resamples_are_those_of_each():
    rng = np.random.default_rng(5)
    x, y = rng.integers(0, 4, (6, 9)).astype(float), rng.random((6, 9))
    poor = y < 0.4
    poor[0] = False
    curves, areas = risk_coverage(x, y), auroc(x, poor)
    assert np.isnan(areas[0])
    for n in range(6):
        tied = np.array([y[n][x[n] == value].mean() for value in sorted(x[n])])
        np.testing.assert_allclose(curves[n], np.cumsum(tied) / np.arange(1, 10))
        if n:
            assert areas[n] == pytest.approx(roc_auc_score(poor[n], x[n]))


def test_within_a_class_thin_organs_are_not_told_from_thick_ones():
    """A sign that knows which class it is, and nothing of the scan, finds nothing within the classes."""
    dice = field(np.column_stack([np.linspace(0.8, 0.95, 12), np.linspace(0.6, 0.88, 12)]))
    knows = xr.zeros_like(dice) + xr.DataArray([0.0, 1.0], dims="target")
    table = detection({"knows": knows, "perfect": 1 - dice}, dice, 0.85).set_index(["sign", "unit"])
    assert table.loc[("knows", "scan and class"), "auroc"] > 0.7
    assert table.loc[("knows", "within class"), "auroc"] == 0.5
    assert table.loc[("perfect", "within class"), "auroc"] == 1
    assert table.loc[("perfect", "scan"), ["auroc_low", "auroc_high"]].tolist() == [1, 1]
    low, high = table.loc[("perfect", "scan"), ["aurc_low", "aurc_high"]]
    assert low < table.loc[("perfect", "scan"), "aurc"] < high


def test_trust_in_predicted_dice_by_hand():
    rows = [("s0", "a", 0.9, 0.8), ("s1", "a", 0.7, 0.5), ("s0", "b", 0.6, np.nan), ("s1", "b", 0.8, 0.6)]
    predicted = pd.DataFrame(rows, columns=["scan", "class", "dice", "lower"])
    told = trust(predicted, field([[0.95, 0.5], [0.4, 0.7]])).set_index("class")
    assert told.loc["a", "error"] == pytest.approx((0.05 + 0.3) / 2)
    assert told.loc["a", ["coverage", "n_poor", "coverage_poor"]].tolist() == [0.5, 1, 0.0]
    assert told.loc["b", ["n", "n_bounded", "coverage_poor"]].tolist() == [2, 1, 1.0]
    assert told.loc["all classes", "width"] == pytest.approx((0.1 + 0.2 + 0.2) / 3)
    assert told.loc[MEANS, "error"] == pytest.approx((abs(0.75 - 0.725) + abs(0.75 - 0.55)) / 2)


def test_unusual_volumes_are_in_standard_deviations_of_the_logarithm():
    reference = field(np.exp(scores(4).values))
    new = field([[1.0, 0.0]])
    logs = np.log(reference.values[:, 0])
    found = unusual_volume(new, reference)
    assert float(found[0, 0]) == pytest.approx(abs(logs.mean()) / logs.std(ddof=1))
    assert np.isnan(found[0, 1])


def small(n, seed, first):
    return cohort_of(matrices(n, seed=seed, first=first).isel(target=[1, 2]))


def test_entries_are_compared_as_all_permutations_would():
    first, second = small(4, 1, 0), small(3, 2, 100)
    values = np.concatenate([first.shares, second.shares])[:, 0, 3]
    observed = abs(values[:4].mean() - values[4:].mean())
    reached = [
        abs(values[list(chosen)].mean() - np.delete(values, chosen).mean()) >= observed - 1e-12
        for chosen in combinations(range(7), 4)
    ]
    table = compare_entries(first, second, n_permutations=4999).set_index(["class", "roi"])
    row = table.loc[("aorta", CLASSES[3])]
    assert row["p_value"] == pytest.approx(np.mean(reached), abs=0.03)
    assert row["difference"] == pytest.approx(values[:4].mean() - values[4:].mean())
    assert (row["n_first"], row["n_second"]) == (4, 3)


def test_pairs_are_compared_as_all_flips_would():
    first, second = small(6, 1, 0), small(6, 2, 0)
    differences = (first.shares - second.shares)[:, 1, 0]
    reached = [
        abs(np.mean(differences * signs)) >= abs(differences.mean()) - 1e-12
        for signs in product([1, -1], repeat=6)
    ]
    table = compare_entries(first, second, paired=True, n_permutations=4999).set_index(["class", "roi"])
    assert table.loc[("heart", "background"), "p_value"] == pytest.approx(np.mean(reached), abs=0.03)


def test_energy_distance_is_the_sum_over_pairs():
    first, second = small(5, 1, 0), small(4, 2, 100)
    x, y = (log_ratios(part.shares).reshape(len(part.scans), -1) for part in (first, second))
    mean = lambda a, b: np.mean([np.linalg.norm(p - q) for p in a for q in b])  # noqa: E731
    found = energy_distance(first, second, n_permutations=99)
    assert found.energy == pytest.approx(2 * mean(x, y) - mean(x, x) - mean(y, y))
    assert energy_distance(first, first, n_permutations=99).energy == pytest.approx(
        0, abs=1e-6
    )  # of square roots


def test_a_cohort_that_looks_elsewhere_is_far_and_one_that_does_not_is_near():
    reference, like = small(20, 1, 0), small(15, 2, 100)
    ids = tuple(f"s{n:04d}" for n in range(200, 215))
    odd = cohort_of(matrices(15, seed=3, first=200, odd=ids).isel(target=[1, 2]))
    assert energy_distance(odd, reference, n_permutations=999).p_value == pytest.approx(0.001)
    assert energy_distance(like, reference, n_permutations=999).p_value > 0.01
    table = compare_entries(odd, reference, n_permutations=999)
    assert (table["class"][0], table["p_adjusted"][0] < 0.05) == ("heart", True)


def test_drift_is_looked_at_once_a_scan_and_only_with_enough():
    reference = small(20, 1, 0)
    watch = look_again(None, small(LEAST_NEW - 1, 2, 100), reference, 0.01)
    assert (watch.looks, len(watch.waiting)) == ((), LEAST_NEW - 1)
    watch = look_again(watch, small(LEAST_NEW + 2, 2, 100), reference, 0.01)
    assert [len(look.scans) for look in watch.looks] == [LEAST_NEW + 2]
    assert not watch.looks[0].alarm
    again = look_again(Watch.from_json(watch.to_json()), small(LEAST_NEW + 5, 2, 100), reference, 0.01)
    assert again.looks == watch.looks
    assert len(again.waiting) == 3
    ids = tuple(f"s{n:04d}" for n in range(300, 312))
    odd = cohort_of(matrices(12, seed=3, first=300, odd=ids).isel(target=[1, 2]))
    assert look_again(watch, odd, reference, 0.01).looks[-1].alarm
    assert len(look_again(watch, odd, small(21, 1, 0), 0.01).looks) == 1  # another reference


def test_looks_raise_false_alarms_at_the_stated_rate():
    """200 looks at ten scans like the reference: alarms are at most binomial at the rate, within 3.5 SD."""
    rate, n = 0.1, 200
    p_values = []
    for seed in range(n):
        everything = small(24, seed, 100)
        new = set(everything.scans[::2][:10])
        rest = everything.subset(set(everything.scans) - new)
        p_values.append(energy_distance(everything.subset(new), rest, n_permutations=99, seed=seed).p_value)
    alarms = np.mean(np.array(p_values) <= rate)
    assert 0 < alarms < rate + 3.5 * np.sqrt(rate * (1 - rate) / n)


def test_groups_against_scipy():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": rng.normal(60, 10, 40),
            "sex": rng.choice(["F", "M"], 40),
            "site": rng.choice(["a", "b", "c"], 40),
            "same": 1,
        },
        index=[f"s{n}" for n in range(40)],
    )
    flagged = {scan: n < 12 for n, scan in enumerate(frame.index)}
    x, y = frame.iloc[:12], frame.iloc[12:]
    table = compare_groups(flagged, frame).set_index(["column", "test"])
    rank = table.loc[("age", "Mann-Whitney U")]
    assert rank["p_value"] == pytest.approx(stats.mannwhitneyu(x["age"], y["age"]).pvalue)
    higher = np.mean([a > b for a in x["age"] for b in y["age"]])
    assert rank["effect_size"] == pytest.approx(2 * higher - 1)
    welch = stats.ttest_ind(x["age"], y["age"], equal_var=False)
    assert table.loc[("age", "Welch t"), "p_value"] == pytest.approx(welch.pvalue)
    counts = [[(part["sex"] == sex).sum() for sex in "FM"] for part in (x, y)]
    assert table.loc[("sex", "Fisher exact"), "p_value"] == pytest.approx(stats.fisher_exact(counts)[1])
    sites = [[(part["site"] == site).sum() for site in "abc"] for part in (x, y)]
    chi = stats.chi2_contingency(sites, correction=False)
    assert table.loc[("site", "chi-square"), "p_value"] == pytest.approx(chi.pvalue, abs=0.05)
    assert table.loc[("site", "chi-square"), "effect_size"] == pytest.approx(np.sqrt(chi.statistic / 40))
    assert set(table.index.get_level_values(0)) == {"age", "sex", "site"}  # what never varies is left out
    with pytest.raises(UsageError, match="--metadata"):
        compare_groups({"other": True}, frame)


def test_words_count_once_a_report():
    reports = {f"s{n}": "effusion effusion left" if n < 4 else "clear, left" for n in range(10)}
    table = compare_terms({scan: n < 4 for n, scan in enumerate(reports)}, reports).set_index("word")
    assert set(table.index) == {"effusion", "clear", "left"}
    assert table.loc["effusion", ["n_flagged", "n_other"]].tolist() == [4, 0]
    assert table.loc["effusion", "p_value"] == pytest.approx(stats.fisher_exact([[4, 0], [0, 6]])[1])
    assert table.loc["left", "p_value"] == 1
    assert terms_of("Płyn w opłucnej, 12 mm") == {"płyn", "opłucnej"}


def test_classes_with_like_rows_join_first():
    mean = cohort_of(matrices(10, seed=1)).mean()
    twin = mean.copy()
    twin.loc["heart"] = mean.sel(target="aorta") + 1e-4
    tree = cluster_classes(twin).to_json()
    i, j, distance, n = tree["merges"][0]
    assert {tree["classes"][int(i)], tree["classes"][int(j)]} == {"aorta", "heart"}
    assert (distance < 0.01, n) == (True, 2)
    assert set(tree["cophenetic_correlation"]) == set(LINKAGES)
    assert tree["cophenetic_correlation"][tree["linkage"]] == max(tree["cophenetic_correlation"].values())
    assert sorted(tree["dendrogram"]["order"]) == sorted(CLASSES)
