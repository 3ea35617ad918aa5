"""The tables of failures and of the published matrices, on small cases that can be counted by hand."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from agg2exp_core.analysis import DETECTORS
from benchmarks.failure_detection import (
    LETTERS,
    Signs,
    detection_table,
    failures_in,
    left_out_table,
    severity_table,
)
from benchmarks.published_table import context_table
from tests.analysis.example import CLASSES, matrices
from tests.quality.test_calibration import make_rows

SCANS = [f"s{n:04d}" for n in range(1, 7)]


def by_scan(values):
    return xr.DataArray(np.asarray(values), {"scan": SCANS}, ("scan",))


@pytest.fixture(scope="module")
def signs():
    """Six scans, the last two poor; the default detector finds both and flags one good scan as well."""
    mean = by_scan([0.9, 0.95, 0.92, 0.94, 0.6, 0.5])
    dice = xr.concat([mean, mean], pd.Index(["heart", "ribs"], name="target")).transpose("scan", "target")
    names = {*DETECTORS, "entropy", "uncertainty", "volume"}
    values = {name: xr.ones_like(dice) for name in names}
    flagged = {name: by_scan([False] * 6) for name in names}
    values["log_ratio"] = 1 - dice
    flagged["log_ratio"] = by_scan([True, False, False, False, True, True])
    flagged["entropy"] = by_scan([False] * 5 + [True])
    return Signs(values, flagged, dice)


def test_scans_that_are_found_are_counted(signs):
    table = detection_table(signs, 0.85)
    assert table.loc["log_ratio", ["n", "n_poor", "flagged_poor", "flagged_good"]].tolist() == [6, 2, 2, 1]
    assert table.loc["log_ratio", ["auroc", "spearman"]].tolist() == pytest.approx([1, -1])
    assert table.loc["entropy", ["auroc", "flagged_poor", "flagged_good"]].tolist() == [0.5, 1, 0]


def test_severities_tell_dice_and_what_flags(signs):
    failures = pd.DataFrame(
        {"failure": ["none"] * 4 + ["noise"] * 3, "severity": [0.0] * 4 + [0.5, 1.0, 1.0]},
        index=[*SCANS, "s0007"],
    )
    table = severity_table(signs, failures)
    S, E = LETTERS["log_ratio"], LETTERS["entropy"]
    assert table.loc["none", 0.0] == f"0.93 {S}1"
    assert table.loc["noise"].tolist() == ["", f"0.60 {S}", f"0.50 {S} {E} refused"]


def test_bounds_are_judged_on_kinds_that_were_left_out():
    rows = make_rows(1)
    table = left_out_table(rows, 0.9, 0.85)
    assert table.index.tolist() == ["a", "b", "c", "d", "all kinds"]
    assert table.loc["all kinds", "n"] == table["n"].iloc[:-1].sum() == (rows["corruption"] != "clean").sum()
    assert table.loc["all kinds", "coverage_poor"] > 0.8


def test_failures_are_those_of_the_cohort():
    failures = failures_in("failures", None)
    assert len(failures) == 29
    assert failures.iloc[0].tolist() == ["none", 0.0]
    assert set(failures["severity"]) == {0.0, 0.25, 0.5, 0.75, 1.0}
    assert set(failures_in("reference", None)["failure"]) <= {
        "none",
        "none, pleural_effusion",
        "none, consolidation",
    }


def test_context_puts_the_class_with_the_most_of_it_first():
    local = matrices(6, seed=3, first=100)
    table = context_table(local)
    assert list(table["own"]) == sorted(table["own"])
    assert set(table.index) == set(CLASSES)
    heart = local["mass"].sel(target="heart", roi="heart").median("scan")
    assert table.loc["heart", "own"] == pytest.approx(100 * float(heart))
    assert table.loc["heart", "place_of_itself"] == 1
    assert table.loc["heart", "largest_without_background"].startswith("heart ")
