"""Dice by the severity of what is wrong with a scan."""

import numpy as np
import pandas as pd

from agg2exp_core.phantom import write_tree
from agg2exp_core.training.severity import dice_by_severity, failures_of, severity_markdown

FAILURES = pd.DataFrame(
    {
        "failure": ["none", "noise", "noise", "metal", "metal", "none"],
        "severity": [0.0, 0.5, 1.0, 0.5, 0.5, 0.0],
    },
    index=["good", "n1", "n2", "m1", "m2", "good too"],
)


def scores(**of_scan):
    rows = [
        {"model": model, "scan": scan, "class": name, "dice": dice + apart - better}
        for scan, dice in of_scan.items()
        for name, apart in (("heart", 0.1), ("ribs", -0.1))
        for model, better in (("net_a", 0.0), ("net_b", 0.2))
    ]
    return pd.DataFrame(rows)


def test_means_over_structures_and_then_over_scans_beside_the_good_ones():
    given = scores(good=0.9, n1=0.8, n2=0.4, m1=0.7, m2=0.5, **{"good too": 0.8})
    table = dice_by_severity(given, FAILURES)
    assert list(table.columns) == [0.0, 0.5, 1.0]
    np.testing.assert_allclose(table.loc[("net_a", "noise")], [0.85, 0.8, 0.4])
    np.testing.assert_allclose(table.loc[("net_b", "metal")], [0.65, 0.4, np.nan])
    text = severity_markdown(table, FAILURES).splitlines()
    assert text[0] == "| model | failure | 0 | 0.5 | 1 |"
    assert text[2:4] == [
        "| net_a | noise | 85.00 | 80.00 | 40.00 |",
        "| net_a | metal | 85.00 | 60.00 |  |",
    ]


def test_a_scan_that_never_reached_the_models_is_told_from_one_that_is_not_there():
    table = dice_by_severity(scores(good=0.9, n1=0.8, m1=0.7), FAILURES)
    text = severity_markdown(table, FAILURES).splitlines()
    assert text[2] == "| net_a | noise | 90.00 | 80.00 | refused |"
    assert text[3] == "| net_a | metal | 90.00 | 70.00 |  |"


def test_a_tree_says_what_is_wrong_with_its_scans(tmp_path):
    list(write_tree("failures", tmp_path, n=3, spacing_mm=8.0))
    found = failures_of(tmp_path)
    assert found["failure"].tolist() == ["none", "noise", "noise"]
    assert found["severity"].tolist() == [0.0, 0.25, 0.5]
    meta = pd.read_csv(tmp_path / "meta.csv", sep=";", keep_default_na=False)
    meta.assign(severity="grave").to_csv(tmp_path / "meta.csv", sep=";", index=False)
    assert failures_of(tmp_path).empty
    meta.iloc[:1].to_csv(tmp_path / "meta.csv", sep=";", index=False)
    assert failures_of(tmp_path).empty  # good scans alone
    meta.drop(columns=["failure", "severity"]).to_csv(tmp_path / "meta.csv", sep=";", index=False)
    assert failures_of(tmp_path).empty
