"""Scores grow with abnormality, flags come at the stated rate, reasons name what was changed."""

import numpy as np
import pytest
import xarray as xr
from sklearn.covariance import LedoitWolf
from sklearn.ensemble import IsolationForest

from agg2exp_core.analysis import DETECTORS, OutlierSettings, cohort_of
from agg2exp_core.analysis.cohort import log_ratios, replace_zeros, square_roots
from agg2exp_core.analysis.outliers import find_outliers, score_left_out
from agg2exp_core.analysis.reasons import reasons, training_candidates
from agg2exp_core.analysis.statistics import TooFewError
from agg2exp_core.errors import UsageError
from tests.analysis.example import CLASSES, LACKS_TRACHEA, ODD, matrices

FAST = [name for name in DETECTORS if name != "isolation_forest"]


def rows(n, seed, n_rois=6):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(10 * np.arange(1, n_rois + 1), size=n)


def test_log_ratios_are_centred_logarithms():
    shares = rows(5, 0)
    by_hand = [[np.log(x) - np.mean(np.log(row)) for x in row] for row in replace_zeros(shares)]
    np.testing.assert_allclose(log_ratios(shares), by_hand)
    np.testing.assert_allclose(log_ratios(shares).sum(axis=1), 0, atol=1e-12)
    assert np.isfinite(log_ratios(np.array([[1.0, 0.0, 0.0]]))).all()


def test_square_roots_have_hellingers_distance():
    p, q = rows(2, 1)
    distance = np.linalg.norm(square_roots(p) - square_roots(q)) / np.sqrt(2)
    assert distance == pytest.approx(np.sqrt(1 - np.sqrt(p * q).sum()))


@pytest.mark.parametrize("name", DETECTORS)
def test_a_row_of_another_kind_scores_highest(name):
    score = DETECTORS[name](rows(60, 2), 0)
    odd = rows(1, 3)[:, ::-1]
    assert score(odd)[0] > score(rows(40, 4)).max()


def test_the_forest_is_scikit_learns_with_the_sign_turned():
    reference, new = rows(40, 5), rows(10, 6)
    forest = IsolationForest(n_estimators=100, random_state=3).fit(reference)
    expected = -forest.decision_function(new)
    np.testing.assert_allclose(DETECTORS["isolation_forest"](reference, 3)(new), expected)


def test_mahalanobis_is_that_of_scikit_learn():
    """Of standardised log-ratios less one, which span the same space: there the covariance is regular."""
    reference, new = log_ratios(rows(50, 7)), log_ratios(rows(10, 8))
    centre, spread = reference.mean(axis=0), reference.std(axis=0, ddof=1)
    fitted = LedoitWolf(assume_centered=True).fit((reference - centre) / spread)
    expected = np.sqrt(fitted.mahalanobis((new - centre) / spread) / new.shape[1])
    np.testing.assert_allclose(DETECTORS["log_ratio"](rows(50, 7), 0)(rows(10, 8)), expected, rtol=1e-6)


@pytest.mark.parametrize("name", FAST)
def test_scans_like_the_reference_are_flagged_at_the_stated_rate(name):
    """Over 10 draws of 20 scans the share is that of a binomial of 200 at the rate 0.1, within 3.5 SD."""
    flags = []
    for seed in range(10):
        everything = cohort_of(matrices(60, seed=seed, first=100))
        new, reference = set(everything.scans[::3]), set(everything.scans) - set(everything.scans[::3])
        settings = OutlierSettings(detector=name, rate=0.1)
        found = find_outliers(everything.subset(new), everything.subset(reference), settings)
        flags += found["flagged"].values.tolist()
    assert len(flags) == 200
    assert abs(np.mean(flags) - 0.1) < 3.5 * np.sqrt(0.1 * 0.9 / 200)


def test_p_values_count_the_reference_scans_that_are_as_odd():
    """With one scan a fold and one class the cross-conformal p-value can be written down."""
    reference = cohort_of(matrices(12, seed=1, first=100).isel(target=[2]))
    new = cohort_of(matrices(3, seed=2, first=200).isel(target=[2]))
    found = find_outliers(new, reference, OutlierSettings(detector="robust_z", rate=0.2))
    for n in range(3):
        count = 1
        for left in range(12):
            rest = np.delete(reference.shares[:, 0], left, axis=0)
            score = DETECTORS["robust_z"](rest, 0)
            count += score(reference.shares[[left], 0])[0] >= score(new.shares[[n], 0])[0]
        assert float(found["p_value"][n, 0]) == pytest.approx(count / 13)
        assert float(found["p_all"][n]) == pytest.approx(count / 13)


def test_the_planted_scans_are_flagged_and_the_reasons_say_why():
    reference = cohort_of(matrices(24, seed=2, first=100))
    new = cohort_of(matrices(12, seed=1, odd=(ODD,)))
    found = find_outliers(new, reference, OutlierSettings())
    assert bool(found["flagged"].sel(scan=ODD))
    assert found["score"].sel(scan=ODD).idxmax() == "heart"
    why = reasons(new, reference)
    first = why[why["scan"] == ODD].iloc[0]
    assert (first["class"], first["roi"]) == ("heart", "ribs")
    assert first["deviation"] > 5
    assert first["sentence"].startswith("38% of what explains heart lies in ribs; usually 4.")
    assert why.loc[why["scan"] == LACKS_TRACHEA, "sentence"].iloc[0] == "trachea was not found in this scan"
    assert not (why.loc[why["scan"] == LACKS_TRACHEA, "roi"] == "trachea").any()
    unsure_one = "s0007"
    unsure = xr.DataArray([scan == unsure_one for scan in new.scans], {"scan": list(new.scans)})
    candidates = training_candidates(found.assign(unsure=unsure), why).set_index("scan")
    assert candidates["reason"][ODD].startswith("38% of what explains heart")
    assert candidates["reason"][unsure_one].startswith("the prediction of this scan is unusually uncertain; ")
    assert len(candidates) < len(new.scans)
    assert np.isnan(found["score"].sel(scan=LACKS_TRACHEA, target="trachea"))


def test_reasons_are_the_distance_in_robust_deviations():
    reference, new = (cohort_of(matrices(n, seed=n, first=100 * n)) for n in (24, 3))
    why = reasons(new, reference, n_entries=2)
    a, b = CLASSES.index(why["class"][0]), CLASSES.index(why["roi"][0])
    logs = np.log(replace_zeros(reference.shares))[:, a, b]
    spread = max(1.4826 * np.median(np.abs(logs - np.median(logs))), np.log(1.1))
    mine = np.log(replace_zeros(new.shares))[new.scans.index(why["scan"][0]), a, b]
    assert why["deviation"][0] == pytest.approx((mine - np.median(logs)) / spread, rel=1e-4)
    assert (why[["share", "reference_median"]].max(axis=1) >= 0.01).all()


def test_the_order_of_scans_changes_nothing():
    local, other = matrices(24, seed=3), matrices(24, seed=4, first=100)
    turned = local.isel(scan=np.random.default_rng(0).permutation(24))
    one, two = (find_outliers(cohort_of(x), cohort_of(other), OutlierSettings()) for x in (local, turned))
    assert one.identical(two)


def test_without_a_reference_the_share_of_flags_is_the_rate():
    found = score_left_out(cohort_of(matrices(40, seed=5, first=100)), OutlierSettings(rate=0.1))
    assert int(found["flagged"].sum()) == 4
    assert set(found["scan"].values[found["flagged"]]) == set(
        found["scan"].values[np.argsort(-found["score_all"].values)[:4]]
    )


def test_too_few_scans_are_told_with_their_number():
    with pytest.raises(TooFewError, match=r"7 scans.*at least 20 to flag scans at the rate 0.05"):
        score_left_out(cohort_of(matrices(7, seed=0)), OutlierSettings())


@pytest.mark.parametrize(
    ("given", "named"), [({"detector": "guess"}, "--detector"), ({"rate": 1.0}, "--rate")]
)
def test_settings_without_meaning_are_refused(given, named):
    with pytest.raises(UsageError, match=named):
        OutlierSettings(**given)


def test_merged_regions_are_no_part_of_a_composition():
    local = matrices(3, seed=0)
    merged = local.isel(roi=[1]).assign_coords(roi=["vessels"], roi_kind=("roi", ["merged"]))
    both = cohort_of(xr.concat([local, merged], dim="roi"))
    assert both.rois == CLASSES
    np.testing.assert_allclose(both.shares, cohort_of(local).shares)
    with pytest.raises(UsageError, match="more than once"):
        cohort_of(xr.concat([local, local], dim="scan"))
