import numpy as np
import pytest
import xarray as xr
from scipy.stats import poisson

from agg2exp_core.errors import UsageError
from agg2exp_core.importance import RoiSet, global_importance, local_importance, stack_scans
from agg2exp_core.random import random_bits
from agg2exp_core.types import ClassAttribution
from tests.paper_table import published_local

CLASSES = ("background", "heart", "lung")
STATISTICS = ["mean", "sd", "sem", "n", "median", "q25", "q75", "ci_low", "ci_high"]


def local(seed, present=CLASSES, extra=()):
    rng = np.random.default_rng(seed)
    labels = rng.choice([CLASSES.index(name) for name in present], (5, 4, 3))
    items = [ClassAttribution(name, rng.normal(size=labels.shape)) for name in present]
    masks = {name: rng.random(labels.shape) < 0.5 for name in extra}
    return local_importance(items, RoiSet(labels, CLASSES, extra=masks))


def cohort(cube):
    cube = np.asarray(cube, float)
    n_scans, n_targets, n_rois = cube.shape
    return xr.Dataset(
        {"mass": (("scan", "target", "roi"), cube)},
        {
            "scan": [f"s{n}" for n in range(n_scans)],
            "target": list("abc")[:n_targets],
            "roi": list("xyz")[:n_rois],
        },
    )


def test_statistics_of_what_is_there():
    rng = np.random.default_rng(0)
    cube = rng.random((9, 3, 3))
    cube[rng.random(cube.shape) < 0.3] = np.nan
    cube[:, 0, 0] = np.nan
    cube[1:, 0, 1] = np.nan
    cube[0, 0, 1] = 0.25
    G = global_importance(cohort(cube))
    assert list(G.data_vars) == STATISTICS
    for a in range(3):
        for b in range(3):
            some = cube[:, a, b][~np.isnan(cube[:, a, b])]
            entry = {name: float(G[name][a, b]) for name in STATISTICS}
            assert entry["n"] == len(some)
            if len(some) == 0:
                assert all(np.isnan(value) for name, value in entry.items() if name != "n")
                continue
            sd = some.std(ddof=1) if len(some) > 1 else np.nan
            expected = {
                "mean": some.mean(),
                "sd": sd,
                "sem": sd / np.sqrt(len(some)),
                "median": np.median(some),
                "q25": np.quantile(some, 0.25),
                "q75": np.quantile(some, 0.75),
            }
            for name, value in expected.items():
                assert entry[name] == pytest.approx(value, nan_ok=True), (a, b, name)
            assert entry["ci_low"] <= entry["mean"] <= entry["ci_high"]


def drawn_by_hand(seed, scan, resample):
    """How often a resample draws a scan: a uniform number, looked up in the Poisson distribution."""
    bits = random_bits(resample // 2 + 1, "bootstrap", seed, scan)[resample // 2]
    uniform = ((int(bits) >> (32 * (resample % 2))) % 2**32 + 0.5) / 2**32
    return int(poisson.ppf(uniform, 1))


def test_the_interval_equals_explicit_resampling():
    rng = np.random.default_rng(1)
    cube = rng.random((6, 1, 2))
    cube[2:4, 0, 1] = np.nan
    G = global_importance(cohort(cube), n_bootstrap=200, seed=7)
    drawn = [[drawn_by_hand(7, f"s{n}", resample) for n in range(6)] for resample in range(200)]
    for b in range(2):
        means = []
        for counts in drawn:
            sample = np.repeat(cube[:, 0, b], counts)
            sample = sample[~np.isnan(sample)]
            means.append(sample.mean() if len(sample) else np.nan)
        low, high = np.nanpercentile(means, [2.5, 97.5])
        assert float(G.ci_low[0, b]) == pytest.approx(low)
        assert float(G.ci_high[0, b]) == pytest.approx(high)


def test_the_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(2)
    cube = rng.normal(0.4, 0.1, (40, 3, 3))[..., None].repeat(30, -1) + rng.normal(0, 0.1, (40, 3, 3, 30))
    hits = [
        ((G.ci_low <= 0.4) & (G.ci_high >= 0.4)).values
        for G in (global_importance(cohort(cube[..., n]), n_bootstrap=300, seed=n) for n in range(30))
    ]
    assert np.mean(hits) > 0.8


def test_the_seed_decides():
    data = cohort(np.random.default_rng(0).random((8, 2, 2)))
    xr.testing.assert_identical(global_importance(data), global_importance(data, seed=0))
    assert not global_importance(data).equals(global_importance(data, seed=1))


def test_one_scan_has_no_spread():
    G = global_importance([local(0)])
    assert (G.n == 1).all()
    assert G.sd.isnull().all()
    assert G.sem.isnull().all()
    for name in ("median", "q25", "q75", "ci_low", "ci_high"):
        xr.testing.assert_allclose(G[name], G["mean"].rename(name))


def test_absent_classes_and_regions_do_not_count():
    G = global_importance([local(0), local(1, present=("background", "heart")), local(2)])
    assert G.n.sel(target="lung").values.tolist() == [2, 2, 2]
    assert G.n.sel(target="heart").values.tolist() == [3, 3, 2]


def test_different_regions_are_joined_in_order_of_appearance():
    matrices = {"s1": local(0, extra=("zeta",)), "s2": local(1, extra=("alpha",))}
    stacked = stack_scans(matrices)
    assert stacked.roi.values.tolist() == [*CLASSES, "zeta", "alpha"]
    assert stacked.roi_kind.values.tolist() == ["class"] * 3 + ["extra"] * 2
    assert stacked.scan.values.tolist() == ["s1", "s2"]
    assert stacked.n_voxels.dtype == np.int64
    assert stacked.n_voxels.sel(scan="s1", roi="alpha") == 0
    assert stacked.mass.sel(scan="s1", roi="alpha").isnull().all()
    for scan, matrix in matrices.items():
        np.testing.assert_array_equal(stacked.mass.sel(scan=scan, roi=matrix.roi).values, matrix.mass.values)
    numbered = stacked.assign_coords(scan=["0", "1"])
    xr.testing.assert_identical(global_importance(list(matrices.values())), global_importance(numbered))
    assert global_importance(stacked).n.sel(roi="zeta").values.tolist() == [1, 1, 1]


def test_other_variables():
    stacked = stack_scans({"s1": local(0), "s2": local(1)})
    G = global_importance(stacked, "signed")
    np.testing.assert_allclose(G["mean"], stacked.signed.mean("scan"))
    assert G.attrs == {"variable": "signed", "n_scans": 2}
    assert global_importance(stacked, "norm")["mean"].dims == ("target",)


def test_wrong_use_is_refused():
    with pytest.raises(UsageError, match="'maas'; allowed: concentration, "):
        global_importance([local(0)], "maas")
    with pytest.raises(UsageError, match="no scan"):
        global_importance([])
    other = local(0).assign_coords(roi_kind=("roi", ["class", "class", "merged"]))
    with pytest.raises(UsageError, match="RoI lung of scan s2"):
        stack_scans({"s1": local(0), "s2": other})


def test_published_scans(real_data):
    G = global_importance(published_local(real_data))
    assert (G.n == 32).all()
    np.testing.assert_allclose(G["mean"].sum("roi"), 1, atol=1e-4)
    assert (G["mean"].sel(roi="background") > 0.5).all()
