import json
import logging

import nibabel as nib
import numpy as np
import pytest

from agg2exp_core.errors import ScanError, UsageError
from agg2exp_core.types import Grid
from agg2exp_core.volumes import load_rois, read_names, read_nifti, write_nifti

from .grids import oblique, oriented, world

GRID = oriented("RAS", (2.0, 2.0, 2.0), (-12.0, -13.0, -14.0))


def ball(grid, radius_mm=8.0):
    return np.linalg.norm(world(grid), axis=-1) < radius_mm


@pytest.fixture
def labels():
    values = np.zeros(GRID.shape, np.uint8)
    values[:3], values[3:5], values[5:7] = 1, 2, 40
    return values


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def test_binary_masks(tmp_path):
    (tmp_path / "s1").mkdir()
    write_nifti(tmp_path / "s1/heart.nii.gz", ball(GRID), GRID)
    write_nifti(tmp_path / "s1/left lung.nii", ball(GRID, 4.0) * 255, GRID)
    write_nifti(tmp_path / "s1/nothing.nii.gz", np.zeros(GRID.shape, bool), GRID)
    rois = load_rois(tmp_path, GRID, "s1")
    assert list(rois) == ["heart", "left_lung", "nothing"]
    np.testing.assert_array_equal(rois["heart"], ball(GRID))
    np.testing.assert_array_equal(rois["left_lung"], ball(GRID, 4.0))
    assert not rois["nothing"].any()
    assert all(mask.dtype == np.bool_ for mask in rois.values())


def test_label_map_in_a_folder(tmp_path, labels, caplog):
    write_nifti(tmp_path / "s1.nii.gz", labels, GRID)
    put(tmp_path / "labels.json", {"2": "kidney_right", "1": "spleen", "7": "absent"})
    with caplog.at_level(logging.WARNING):
        rois = load_rois(tmp_path, GRID, "s1")
    assert list(rois) == ["kidney_right", "spleen", "absent"]
    np.testing.assert_array_equal(rois["spleen"], labels == 1)
    np.testing.assert_array_equal(rois["kidney_right"], labels == 2)
    assert not rois["absent"].any()
    assert [r.getMessage() for r in caplog.records] == [
        "s1.nii.gz: 1 label values have no name and are no region: [40]"
    ]


def test_label_map_file_with_names(tmp_path, labels):
    write_nifti(tmp_path / "map.nii.gz", labels, GRID)
    names = put(tmp_path / "names.json", {"1": "a", "2": "b", "40": "c"})
    rois = load_rois(tmp_path / "map.nii.gz", GRID, "s1", names)
    assert {name: int(mask.sum()) for name, mask in rois.items()} == {
        "a": 3 * 13 * 14,
        "b": 2 * 13 * 14,
        "c": 2 * 13 * 14,
    }
    with pytest.raises(UsageError, match="--roi-names"):
        load_rois(tmp_path / "map.nii.gz", GRID, "s1")


def test_names_file_stands_for_the_one_in_the_folder(tmp_path, labels):
    write_nifti(tmp_path / "s1.nii", labels, GRID)
    put(tmp_path / "labels.json", {"1": "x"})
    assert list(load_rois(tmp_path, GRID, "s1", put(tmp_path / "n.json", {"1": "y"}))) == ["y"]


@pytest.mark.parametrize(
    "other", [oblique(), oriented("LIA", (1.0, 1.5, 2.0), (20.0, -20.0, 20.0), (40, 26, 20))]
)
def test_masks_on_another_grid_are_resampled(tmp_path, other):
    (tmp_path / "s1").mkdir()
    write_nifti(tmp_path / "s1/ball.nii.gz", ball(other), other)
    mask = load_rois(tmp_path, GRID, "s1")["ball"]
    exact = ball(GRID)
    dice = 2 * (mask & exact).sum() / (mask.sum() + exact.sum())
    assert dice > 0.85
    rim = np.abs(np.linalg.norm(world(GRID), axis=-1) - 8.0) < 2.5  # within half a diagonal of a voxel
    np.testing.assert_array_equal(mask[~rim], exact[~rim])


def test_masks_from_elsewhere_are_refused(tmp_path):
    (tmp_path / "s1").mkdir()
    away = Grid(GRID.shape, GRID.affine + np.eye(4, k=3) * 1000)
    write_nifti(tmp_path / "s1/ball.nii.gz", ball(GRID), away)
    with pytest.raises(ScanError, match=r"ball.nii.gz: a mask that shares 0% of the scan's place"):
        load_rois(tmp_path, GRID, "s1")


@pytest.mark.parametrize("values", [[0, 1, 2], [0.0, 0.5, 1.0]])
def test_masks_that_are_not_binary(tmp_path, values):
    (tmp_path / "s1").mkdir()
    write_nifti(tmp_path / "s1/m.nii.gz", np.resize(values, GRID.shape), GRID)
    with pytest.raises(ScanError, match="0 and one other value"):
        load_rois(tmp_path, GRID, "s1")


def test_label_map_with_fractions(tmp_path):
    write_nifti(tmp_path / "s1.nii.gz", np.resize([0.0, 0.5, 1.0], GRID.shape), GRID)
    put(tmp_path / "labels.json", {"1": "x"})
    with pytest.raises(ScanError, match=r"fractions such as 0\.5"):
        load_rois(tmp_path, GRID, "s1")


def test_what_is_not_there(tmp_path, labels):
    with pytest.raises(UsageError, match="nothing there"):
        load_rois(tmp_path / "none", GRID, "s1")
    with pytest.raises(ScanError, match="nothing for the scan s1"):
        load_rois(tmp_path, GRID, "s1")
    (tmp_path / "s1").mkdir()
    with pytest.raises(ScanError, match="without masks"):
        load_rois(tmp_path, GRID, "s1")
    write_nifti(tmp_path / "s1.nii.gz", labels, GRID)
    with pytest.raises(ScanError, match=r"s1 and s1.nii.gz for the scan s1"):
        load_rois(tmp_path, GRID, "s1")
    (tmp_path / "s1").rmdir()
    with pytest.raises(UsageError, match=r"labels\.json: no table of names"):
        load_rois(tmp_path, GRID, "s1")


def test_masks_of_one_name(tmp_path):
    (tmp_path / "s1").mkdir()
    for name in ("a b.nii.gz", "a_b.nii.gz"):
        write_nifti(tmp_path / "s1" / name, ball(GRID), GRID)
    with pytest.raises(ScanError, match="same name"):
        load_rois(tmp_path, GRID, "s1")


def test_names_are_made_safe(tmp_path):
    path = put(tmp_path / "n.json", {"1": "left lung/upper", "2": ".hidden", "3": "aorta"})
    assert read_names(path) == {1: "left_lung_upper", 2: "_hidden", 3: "aorta"}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"a": "b"}',
        '{"1": 2}',
        '{"1": ""}',
        '{"1": "a b", "2": "a_b"}',
        '{"1": "a", "01": "b"}',
    ],
)
def test_malformed_names(tmp_path, content):
    (tmp_path / "n.json").write_text(content)
    with pytest.raises(UsageError, match=r"n\.json: "):
        read_names(tmp_path / "n.json")


def test_the_real_structures(real_data):
    folder = real_data / "ct_abdomen"
    grid = read_nifti(folder / "ct.nii.gz").grid
    rois = load_rois(folder, grid, "labels")
    labels = np.asarray(nib.load(folder / "labels.nii.gz").dataobj)
    names = json.loads((folder / "labels.json").read_text())
    assert len(rois) == len(names) == 61
    for value, name in names.items():
        np.testing.assert_array_equal(rois[name], labels == int(value))


def test_values_that_a_rounded_slope_misses_by_little(tmp_path, labels):
    write_nifti(tmp_path / "s1.nii.gz", (labels * 1.000145).astype(np.float32), GRID)
    put(tmp_path / "labels.json", {"1": "spleen", "2": "kidney_right", "40": "liver"})
    rois = load_rois(tmp_path, GRID, "s1")
    for value, name in ((1, "spleen"), (2, "kidney_right"), (40, "liver")):
        np.testing.assert_array_equal(rois[name], labels == value)


def test_a_mask_of_rounded_ones(tmp_path):
    mask = np.where(ball(GRID), np.where(np.arange(GRID.shape[2]) % 2, 0.9999999, 1.0000001), 1e-9)
    (tmp_path / "s1").mkdir()
    write_nifti(tmp_path / "s1" / "heart.nii.gz", mask.astype(np.float32), GRID)
    np.testing.assert_array_equal(load_rois(tmp_path, GRID, "s1")["heart"], ball(GRID))


def test_a_mask_whose_affine_is_written_with_fewer_digits(tmp_path):
    fine = Grid(GRID.shape, GRID.affine + np.array([[1e-3] * 4] * 3 + [[0] * 4]))
    (tmp_path / "s1").mkdir()
    write_nifti(tmp_path / "s1" / "heart.nii.gz", ball(GRID), fine)
    np.testing.assert_array_equal(load_rois(tmp_path, GRID, "s1")["heart"], ball(GRID))
