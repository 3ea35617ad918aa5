"""Models on one scan without truth: Dice by names of classes on the scan's own grid, and where they part."""

import numpy as np
import pytest
import torch

from agg2exp_core.errors import UsageError
from agg2exp_core.models import wrap_network
from agg2exp_core.pipeline.between_models import FILE, _largest, compare_without_truth
from agg2exp_core.pipeline.outcomes import ScanJob
from agg2exp_core.types import Grid
from agg2exp_core.volumes import CTPreprocessing, read_volume, write_nifti


class Threshold(torch.nn.Module):
    """Logits of classes in a given order: `bright` above a threshold, `dark` below another, else neither."""

    def __init__(self, order, bright, dark):
        super().__init__()
        self.order, self.bright, self.dark = order, bright, dark

    def forward(self, windows):
        of = {
            "background": torch.zeros_like(windows),
            "bright": windows - self.bright,
            "dark": self.dark - windows,
        }
        return torch.cat([of.get(name, torch.full_like(windows, -9.0)) for name in self.order], dim=1)


def make_model(name, order, bright, spacing_mm=2.0):
    network = Threshold(order, bright, 0.2)
    preprocessing = CTPreprocessing(spacing_mm=spacing_mm)
    return wrap_network(network, order, (8, 8, 8), preprocessing=preprocessing, name=name)


@pytest.fixture
def scan(tmp_path):
    """Dark on the left, bright on the right; in between a plane that only the second model calls bright."""
    values = np.full((10, 10, 10), -1024, np.int16)
    values[5:] = 1000
    values[4] = 400
    path = tmp_path / "s1.nii.gz"
    write_nifti(path, values, Grid(values.shape, np.diag([2.0, 2.0, 2.0, 1.0])))
    return ScanJob("s1", str(path))


def test_classes_meet_by_name_and_the_difference_is_shown(scan, tmp_path):
    first = make_model("first", ("background", "bright", "dark", "nose"), 0.9)
    second = make_model("second", ("background", "dark", "bright"), 0.5)
    told = compare_without_truth(
        [first, second], [scan, ScanJob("bad", str(tmp_path / "no"))], tmp_path / "out"
    )
    table = told.table.set_index("class")
    assert set(table.index) == {"bright", "dark"}
    assert table.loc["dark", ["dice", "part_ml"]].tolist() == [1.0, 0.0]
    assert table.loc["bright", "dice"] == pytest.approx(2 * 500 / (500 + 600))
    assert table.loc["bright", "part_ml"] == pytest.approx(100 * 0.008)
    assert table.loc["bright", "x"] == 4
    assert told.alone == {"first": ["nose"]}
    assert [bad.scan_id for bad in told.rejected] == ["bad"]
    assert (tmp_path / "out" / FILE).exists()


def test_the_largest_difference_is_named_by_a_voxel_of_its_own():
    differs = np.zeros((6, 6, 6), bool)
    differs[1:4, 1, 1], differs[5, 5, 5] = True, True
    grid = Grid(differs.shape, np.diag([10.0, 10.0, 10.0, 1.0]))
    assert _largest(differs, grid) == pytest.approx({"part_ml": 3.0, "x": 2.0, "y": 1.0, "z": 1.0})


def test_what_cannot_be_compared_is_refused(scan, tmp_path):
    first = make_model("first", ("background", "bright"), 0.9)
    other = make_model("other", ("background", "dark"), 0.9)
    for models, said in (
        ([first], "two models"),
        ([first, first], "names"),
        ([first, other], "no structure"),
    ):
        with pytest.raises(UsageError, match=said):
            compare_without_truth(models, [scan], tmp_path)
    with pytest.raises(UsageError, match="no scan"):
        compare_without_truth([first, make_model("b", ("background", "bright"), 0.5)], [], tmp_path)


def test_a_scan_that_is_not_in_hounsfield_units_is_refused(scan, tmp_path):
    values = read_volume(scan.path).values + 1024
    path = tmp_path / "shifted.nii.gz"
    write_nifti(path, values.astype(np.int16), Grid(values.shape, np.diag([2.0, 2.0, 2.0, 1.0])))
    models = [make_model(name, ("background", "bright"), 0.5) for name in ("a", "b")]
    told = compare_without_truth(models, [scan, ScanJob("shifted", str(path))], tmp_path / "out")
    ((scan_id, reason),) = [(bad.scan_id, bad.reason) for bad in told.rejected]
    assert scan_id == "shifted"
    assert "Hounsfield" in reason
