"""Unsure scans come at the stated rate, by the reference or by each other; nothing known is never unsure."""

import numpy as np
import pytest
import xarray as xr

from agg2exp_core.analysis.outliers import find_uncertain


def entropies(n_scans, seed, n_classes=3):
    values = np.random.default_rng(seed).gamma(4.0, 0.05, size=(n_scans, n_classes))
    scans = [f"s{seed}-{n}" for n in range(n_scans)]
    return xr.DataArray(values, {"scan": scans, "target": [f"c{n}" for n in range(n_classes)]})


def test_a_p_value_counts_the_reference_scans_at_least_as_unsure():
    new, reference = entropies(5, seed=1), entropies(30, seed=2)
    new[1, 0] = np.nan
    reference[3, 1] = np.nan
    found = find_uncertain(new, reference, rate=0.1)
    for n in range(5):
        mine = np.nanmean(new.values[n])
        at_least = sum(np.nanmean(row) >= mine for row in reference.values)
        assert float(found["entropy"][n]) == pytest.approx(mine)
        assert float(found["p_entropy"][n]) == pytest.approx((1 + at_least) / 31)
        assert bool(found["unsure"][n]) == ((1 + at_least) / 31 <= 0.1)


def test_without_a_reference_the_most_unsure_are_flagged():
    new = entropies(40, seed=3)
    found = find_uncertain(new, None, rate=0.05)
    most = new.mean("target").to_series().nlargest(2)
    assert found["scan"].values[found["unsure"].values].tolist() == sorted(
        most.index, key=list(new["scan"].values).index
    )
    assert float(found["p_entropy"].min()) == pytest.approx(1 / 40)


def test_scans_like_the_reference_are_flagged_at_the_stated_rate():
    shares = [
        float(find_uncertain(entropies(1, seed=1000 + n), entropies(39, seed=n), rate=0.1)["unsure"].mean())
        for n in range(400)
    ]
    assert np.mean(shares) == pytest.approx(0.1, abs=0.045)  # three standard errors


def test_what_is_not_known_is_not_unsure():
    nothing = entropies(4, seed=1) * np.nan
    for new, reference in (
        (nothing, entropies(30, seed=2)),
        (entropies(4, seed=1), nothing),
        (nothing, None),
    ):
        found = find_uncertain(new, reference, rate=0.5)
        assert not found["unsure"].any()
        assert found["p_entropy"].isnull().all()
