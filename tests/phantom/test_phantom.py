"""The synthetic thorax: plausible, repeatable, the same body at every spacing."""

import hashlib
import json
from functools import cache

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label

from agg2exp_core.errors import UsageError
from agg2exp_core.labels import THORAX_CLASSES
from agg2exp_core.phantom import Phantom, make_phantom, write_cohort

SEEDS = (0, 1, 2, 3)
HU_RANGES = {
    "aorta": (20, 300),
    "heart": (20, 300),
    "pulmonary_vein": (-150, 300),
    "trachea": (-1000, -500),
    "thyroid_gland": (60, 220),
    "ribs": (200, 800),
    "vertebraes": (150, 450),
    "sternum": (100, 450),
    "costal_cartilages": (60, 220),
    "autochthon_left": (20, 90),
    "autochthon_right": (20, 90),
}


@cache
def phantom_of(seed: int, spacing_mm: float = 4.0) -> Phantom:
    return make_phantom(seed, spacing_mm)


def mask(phantom: Phantom, *names: str) -> np.ndarray:
    return np.isin(phantom.labels, [THORAX_CLASSES.index(name) for name in names])


def volume_ml(phantom: Phantom, *names: str) -> float:
    return float(mask(phantom, *names).sum() * phantom.grid.voxel_ml)


def centre_mm(phantom: Phantom, name: str) -> np.ndarray:
    index = np.argwhere(mask(phantom, name)).mean(axis=0)
    return phantom.grid.affine[:3, :3] @ index + phantom.grid.affine[:3, 3]


def digest(phantom: Phantom) -> str:
    return hashlib.sha256(phantom.hu.tobytes() + phantom.labels.tobytes()).hexdigest()


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_equal_seeds_give_equal_voxels(seed):
    first, second = make_phantom(seed, 8.0), make_phantom(seed, 8.0)
    assert digest(first) == digest(second)
    assert first.metadata == second.metadata
    assert np.array_equal(first.grid.affine, second.grid.affine)


def test_the_seed_alone_decides_and_not_what_was_drawn_before():
    before = digest(make_phantom(7, 8.0))
    make_phantom(8, 8.0)
    assert digest(make_phantom(7, 8.0)) == before


def test_different_seeds_differ():
    assert len({digest(phantom_of(seed)) for seed in SEEDS}) == len(SEEDS)
    assert len({round(volume_ml(phantom_of(seed), "heart")) for seed in SEEDS}) == len(SEEDS)


@pytest.mark.parametrize("seed", SEEDS)
class TestOnePatient:
    def test_types_and_size(self, seed):
        phantom = phantom_of(seed)
        assert phantom.hu.dtype == np.int16
        assert phantom.labels.dtype == np.uint8
        assert phantom.hu.shape == phantom.labels.shape == phantom.grid.shape
        assert phantom.grid.spacing_mm == (4, 4, 4)
        assert np.all(np.diag(phantom.grid.affine) > 0)
        x, y, z = phantom.grid.shape
        assert 74 <= x <= 100
        assert 58 <= y <= 72
        assert 72 <= z <= 92
        assert json.loads(json.dumps(phantom.metadata))["sex"] in ("F", "M")

    def test_every_class_is_there(self, seed):
        n_voxels = np.bincount(phantom_of(seed).labels.ravel(), minlength=len(THORAX_CLASSES))
        assert len(n_voxels) == len(THORAX_CLASSES)
        assert n_voxels.min() >= 150

    def test_hounsfield_units(self, seed):
        phantom = phantom_of(seed)
        for name, (low, high) in HU_RANGES.items():
            assert low < phantom.hu[mask(phantom, name)].mean() < high, name
        for name in (name for name in THORAX_CLASSES if name.startswith("lung_")):
            assert -950 < np.median(phantom.hu[mask(phantom, name)]) < -700, name
        assert np.median(phantom.hu[:, :, -1]) == pytest.approx(-1000, abs=30)

    def test_volumes(self, seed):
        phantom = phantom_of(seed)
        lungs = [name for name in THORAX_CLASSES if name.startswith("lung_")]
        assert 2000 < volume_ml(phantom, *lungs) < 7000
        assert 400 < volume_ml(phantom, "heart") < 1200
        assert 80 < volume_ml(phantom, "aorta") < 300
        assert 10 < volume_ml(phantom, "thyroid_gland") < 40

    def test_left_is_at_smaller_x_of_ras(self, seed):
        phantom = phantom_of(seed)
        for left, right in (
            ("lung_upper_lobe_left", "lung_upper_lobe_right"),
            ("lung_lower_lobe_left", "lung_lower_lobe_right"),
            ("autochthon_left", "autochthon_right"),
            ("heart", "lung_middle_lobe_right"),
            ("heart", "trachea"),
            ("aorta", "vertebraes"),
        ):
            assert centre_mm(phantom, left)[0] < centre_mm(phantom, right)[0], left

    def test_structures_lie_where_they_belong(self, seed):
        x, y, z = 0, 1, 2
        at = {name: centre_mm(phantom_of(seed), name) for name in THORAX_CLASSES}
        for side in ("left", "right"):
            upper, lower = at[f"lung_upper_lobe_{side}"], at[f"lung_lower_lobe_{side}"]
            assert upper[z] > lower[z]
            assert upper[y] > lower[y]
        middle = at["lung_middle_lobe_right"]
        assert at["lung_upper_lobe_right"][z] > middle[z]
        assert middle[y] > at["lung_lower_lobe_right"][y]
        assert at["sternum"][y] > at["heart"][y] > at["vertebraes"][y] > at["autochthon_left"][y]
        assert at["thyroid_gland"][z] > at["trachea"][z] > at["heart"][z]
        assert abs(at["ribs"][x]) < 10

    def test_no_solid_structure_floats_in_air(self, seed):
        phantom = phantom_of(seed)
        for name in ("ribs", "sternum", "vertebraes", "autochthon_left", "heart", "costal_cartilages"):
            assert phantom.hu[mask(phantom, name)].min() > -950, name


@pytest.mark.parametrize("name", [name for name in THORAX_CLASSES if name != "background"])
def test_volumes_do_not_depend_on_the_spacing(name):
    coarse, fine = (volume_ml(phantom_of(1, spacing), name) for spacing in (4.0, 3.0))
    assert coarse == pytest.approx(fine, rel=0.1)


def test_there_are_five_lobes_in_one_piece_each():
    for name in (name for name in THORAX_CLASSES if name.startswith("lung_")):
        pieces, _ = label(mask(phantom_of(0), name))
        largest = np.bincount(pieces.ravel())[1:].max()
        assert largest > 0.95 * (pieces > 0).sum(), name


def test_ribs_come_in_twelve_pairs():
    phantom = phantom_of(0, 3.0)
    ribs = mask(phantom, "ribs")
    i, j, _ = np.round(np.linalg.inv(phantom.grid.affine) @ [0, 0, 0, 1]).astype(int)[:3]
    for side in (slice(0, i - 12), slice(i + 12, None)):
        posterior = ribs[side, : j - 18]  # behind, all ribs are cut once
        _, n_ribs = label(posterior, structure=np.ones((3, 3, 3)))
        assert 10 <= n_ribs <= 13


@pytest.mark.parametrize(("seed", "spacing_mm"), [(-1, 4.0), (0, 0.0), (0, float("nan")), (0, 20.0)])
def test_what_makes_no_sense_is_refused(seed, spacing_mm):
    with pytest.raises(UsageError):
        make_phantom(seed, spacing_mm)


class TestCohort:
    def test_files(self, tmp_path):
        paths = write_cohort(tmp_path, 2, seed=3, spacing_mm=8.0)
        assert paths == [tmp_path / "p001" / "ct.nii.gz", tmp_path / "p002" / "ct.nii.gz"]
        phantom = make_phantom(3001, 8.0)
        ct = nib.load(paths[1])
        assert np.array_equal(np.asarray(ct.dataobj), phantom.hu)
        assert np.allclose(ct.affine, phantom.grid.affine)
        labels = nib.load(tmp_path / "p002" / "labels.nii.gz")
        assert np.array_equal(np.asarray(labels.dataobj), phantom.labels)
        names = json.loads((tmp_path / "labels.json").read_text())
        assert names["1"] == "aorta"
        assert list(names.values()) == list(THORAX_CLASSES[1:])
        table = pd.read_csv(tmp_path / "cohort.csv")
        assert list(table["scan_id"]) == ["p001", "p002"]
        assert list(table["seed"]) == [3000, 3001]
        assert {"age", "sex"} <= set(table.columns)

    def test_a_longer_cohort_begins_with_the_shorter_one(self, tmp_path):
        (short,) = write_cohort(tmp_path / "a", 1, spacing_mm=8.0)
        long = write_cohort(tmp_path / "b", 2, spacing_mm=8.0)
        assert short.read_bytes() == long[0].read_bytes()

    @pytest.mark.parametrize("n", [0, -1, 1001])
    def test_a_senseless_number_is_refused(self, tmp_path, n):
        with pytest.raises(UsageError, match="1 to 1000"):
            write_cohort(tmp_path, n)
