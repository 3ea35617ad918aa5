"""Facts of the published table, worked out from its CSV with the csv module alone."""

import csv
import statistics
from pathlib import Path

import numpy as np
import pytest

from agg2exp_core.analysis import cohort_of, read_published
from agg2exp_core.analysis.__main__ import compare_detectors
from agg2exp_core.analysis.context import context
from agg2exp_core.errors import UsageError


@pytest.fixture(scope="module")
def path(real_data: Path) -> Path:
    (found,) = (real_data / "paper").glob("*.csv")
    return found


@pytest.fixture(scope="module")
def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def local(path):
    return read_published(path)


def test_every_entry_of_the_table_is_there(local, rows):
    assert dict(local.sizes) == {"scan": 32, "target": 17, "roi": 17}
    for row in rows[::7]:
        for a in ("heart", "background", "ribs"):
            for b in ("aorta", "background", "trachea"):
                for variable in ("mass", "mean"):
                    entry = local[variable].sel(scan=row["patient"], target=a, roi=b)
                    assert float(entry) == float(row[f"{a}_explanation_in_{b}_{variable}"])
        assert float(local["dice"].sel(scan=row["patient"], target="heart")) == float(row["heart_dice"])


def test_context_by_class_contradicts_the_text_of_the_paper(local, rows):
    """It says that trachea and thyroid use the least context and lungs nearly only context."""
    table = context(cohort_of(local), "published")
    found = table.groupby("class")["own"].median()
    for name in ("thyroid_gland", "trachea", "pulmonary_vein", "lung_lower_lobe_right"):
        by_hand = statistics.median(float(row[f"{name}_explanation_in_{name}_mass"]) for row in rows)
        assert found[name] == pytest.approx(by_hand, abs=1e-6)
    inner = found.drop("background").sort_values()
    assert list(inner.index[:3]) == ["thyroid_gland", "trachea", "pulmonary_vein"]
    assert all(name.startswith("lung_") for name in inner.index[-4:])
    assert inner.iloc[0] == pytest.approx(0.0027, abs=5e-5)
    assert inner.iloc[-1] == pytest.approx(0.127, abs=5e-4)


def test_background_holds_most_of_every_row(local, rows):
    for name in map(str, local["target"].values):
        by_hand = statistics.fmean(float(row[f"{name}_explanation_in_background_mass"]) for row in rows)
        assert 0.63 < by_hand < 0.86
        assert float(local["mass"].sel(target=name, roi="background").mean()) == pytest.approx(by_hand)


def test_ribs_do_not_rely_mostly_on_ribs(local):
    """As a statement of the paper would have it, also without background."""
    row = local["mass_without_background"].sel(target="ribs").mean("scan").drop_sel(roi="background")
    assert float(local["mass"].sel(target="ribs", roi="ribs").mean()) == pytest.approx(0.017, abs=5e-4)
    assert float(row.sel(roi="ribs")) < 0.1
    assert int((row > row.sel(roi="ribs")).sum()) >= 4


def test_volumes_follow_from_mass_and_mean(local):
    """All rows of a scan tell the same volumes, since mean is mass over voxels but for a factor."""
    share = local["volume_share"]
    np.testing.assert_allclose(share.sum("roi"), 1)
    size = local["mass"] / local["mean"].where(local["mean"] > 0)
    of_row = (size / size.sum("roi", skipna=False)).sel(target="heart")
    np.testing.assert_allclose(of_row, share, rtol=1e-4, atol=1e-7)


def test_the_detectors_are_compared_with_the_sign_of_table_2(local):
    scans = local["scan"].values[:12]
    few = local.sel(scan=scans, target=["heart", "ribs"]).drop_vars(["iou"])
    with pytest.raises(UsageError, match="at least 20"):
        compare_detectors(few)
    with pytest.raises(UsageError, match="no Dice"):
        compare_detectors(few.drop_vars("dice"))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("patient,a_explanation_in_a_mass\n1,0.5\n", "no column a_explanation_in_a_mean"),
        ("x,y\n1,2\n", "no column patient"),
        ("patient,a_explanation_in_a_mass,a_explanation_in_a_mean\n1,high,2\n", "high"),
        ("patient,a_explanation_in_a_mass,a_explanation_in_a_mean\n1,1,2\n1,1,2\n", "a row twice"),
        ("", "--import-csv"),
    ],
)
def test_what_is_no_such_table_is_refused(tmp_path, text, named):
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match="--import-csv") as raised:
        read_published(path)
    assert named in str(raised.value)
