"""Phantoms out of the ordinary: the body, pathologies, planted failures, named cohorts."""

from functools import cache

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from agg2exp_core.errors import UsageError
from agg2exp_core.labels import LUNG_LOBES, THORAX_CLASSES
from agg2exp_core.phantom import COHORTS, FAILURES, Phantom, PhantomCase, make_phantom, members, write_tree
from agg2exp_core.phantom.case import PATHOLOGIES

SPACING_MM = 8.0
SEED = 5


@cache
def made(failure: str | None = None, severity: float = 1.0, **pathologies: float) -> Phantom:
    return make_phantom(SEED, SPACING_MM, PhantomCase(pathologies, failure, severity))


def plain() -> Phantom:
    return made()


def volume_ml(phantom: Phantom, *names: str) -> float:
    inside = np.isin(phantom.labels, [THORAX_CLASSES.index(name) for name in names])
    return float(inside.sum() * phantom.grid.voxel_ml)


def hu_of(phantom: Phantom, name: str) -> float:
    return float(phantom.hu[phantom.labels == THORAX_CLASSES.index(name)].mean())


class TestBody:
    def test_age_shrinks_the_trunk_and_rarefies_bone_and_lung(self):
        young, old = (make_phantom(SEED, SPACING_MM, PhantomCase(age=age, sex="F")) for age in (30, 90))
        assert old.grid.shape[2] * SPACING_MM <= young.grid.shape[2] * SPACING_MM
        assert hu_of(old, "vertebraes") < hu_of(young, "vertebraes") - 30
        assert hu_of(old, "lung_upper_lobe_left") < hu_of(young, "lung_upper_lobe_left") - 10
        assert volume_ml(old, "aorta") > volume_ml(young, "aorta")
        assert (old.metadata["age"], young.metadata["age"]) == (90, 30)

    def test_women_are_smaller(self):
        woman, man = (make_phantom(SEED, SPACING_MM, PhantomCase(sex=sex)) for sex in "FM")
        lungs = [volume_ml(phantom, *LUNG_LOBES) for phantom in (woman, man)]
        assert lungs[0] < 0.95 * lungs[1]
        assert (woman.metadata["sex"], man.metadata["sex"]) == ("F", "M")


class TestShortcut:
    def test_a_port_is_metal_away_from_the_heart_and_the_rest_is_as_it_was(self):
        phantom = make_phantom(SEED, SPACING_MM, PhantomCase(port=True))
        inside = phantom.pathologies["port"]
        assert 8 < inside.sum() < 60
        assert (phantom.hu[inside] == 2500).all()
        assert (phantom.labels[inside] == 0).all()
        assert (phantom.hu[~inside] == plain().hu[~inside]).all()
        assert (phantom.labels[~inside] == plain().labels[~inside]).all()
        heart = np.argwhere(phantom.labels == THORAX_CLASSES.index("heart"))
        apart = np.linalg.norm(heart[:, None] - np.argwhere(inside)[None], axis=2).min() * SPACING_MM
        assert apart > 20

    def test_a_structure_without_its_label_is_still_there(self):
        phantom = make_phantom(SEED, SPACING_MM, PhantomCase(unlabelled="heart"))
        heart = plain().labels == THORAX_CLASSES.index("heart")
        assert (phantom.labels[heart] == 0).all()
        assert (phantom.hu == plain().hu).all()
        with pytest.raises(UsageError, match="heart"):
            PhantomCase(unlabelled="hart")


class TestPathologies:
    def test_fluid_is_fluid_at_the_back_and_no_lung_any_more(self):
        phantom = made(pleural_effusion=0.6)
        mask = phantom.pathologies["pleural_effusion"]
        assert -100 < np.median(phantom.hu[mask]) < 60
        assert np.all(phantom.labels[mask] == 0)
        before = np.isin(plain().labels, [THORAX_CLASSES.index(name) for name in LUNG_LOBES])
        assert np.all(before[mask])
        assert np.argwhere(mask)[:, 1].mean() < np.argwhere(before)[:, 1].mean()

    def test_consolidated_lung_is_dense_and_stays_in_its_lobe(self):
        phantom = made(consolidation=0.6)
        mask = phantom.pathologies["consolidation"]
        assert mask.sum() * phantom.grid.voxel_ml > 50
        assert np.median(phantom.hu[mask]) > -150
        assert len(np.unique(phantom.labels[mask])) == 1
        assert np.array_equal(phantom.labels, plain().labels)

    @pytest.mark.parametrize("name", ["pleural_effusion", "consolidation"])
    def test_severity_is_volume(self, name):
        volumes = [made(**{name: severity}).pathologies[name].sum() for severity in (0.25, 0.6, 1.0)]
        assert volumes[0] < volumes[1] < volumes[2]


class TestFailures:
    @pytest.mark.parametrize("failure", ["noise", "motion", "metal", "shifted_hu"])
    def test_severity_is_distance_from_the_undisturbed_scan(self, failure):
        error = []
        for severity in (0.25, 1.0):
            phantom = made(failure, severity)
            assert np.array_equal(phantom.labels, plain().labels)
            assert np.array_equal(phantom.grid.affine, plain().grid.affine)
            assert phantom.hu.dtype == np.int16
            error.append(np.abs(phantom.hu.astype(float) - plain().hu).mean())
        assert 5 < error[0] < 0.6 * error[1]

    def test_a_cut_scan_lacks_slices_and_the_rest_lies_where_it_lay(self):
        phantom = made("cut_field_of_view", pleural_effusion=0.6)
        whole = made(pleural_effusion=0.6)
        n = phantom.grid.shape[2]
        assert n == whole.grid.shape[2] - round(0.5 * whole.grid.shape[2])
        offset = (np.linalg.inv(whole.grid.affine) @ phantom.grid.affine)[2, 3]
        first = round(offset)
        assert offset == pytest.approx(first)
        assert np.array_equal(phantom.hu, whole.hu[:, :, first : first + n])
        assert np.array_equal(phantom.labels, whole.labels[:, :, first : first + n])
        assert phantom.pathologies["pleural_effusion"].shape == phantom.grid.shape

    def test_a_wrong_header_moves_no_voxel_of_the_file(self):
        phantom = made("wrong_spacing", 0.5)
        assert np.array_equal(phantom.hu, plain().hu)
        assert phantom.grid.spacing_mm == pytest.approx((8, 8, 12))

    def test_a_collapsed_lobe_is_small_and_dense_and_its_neighbour_grows(self):
        phantom = made("collapsed_lobe")
        lower, upper = "lung_lower_lobe_left", "lung_upper_lobe_left"
        assert 0 < volume_ml(phantom, lower) < 0.6 * volume_ml(plain(), lower)
        assert volume_ml(phantom, upper) > 1.1 * volume_ml(plain(), upper)
        assert hu_of(phantom, lower) > -150
        assert hu_of(phantom, upper) < -700

    def test_equal_cases_give_equal_voxels(self):
        again = make_phantom(
            SEED, SPACING_MM, PhantomCase({"pleural_effusion": 0.6}, "cut_field_of_view", 1.0)
        )
        assert np.array_equal(again.hu, made("cut_field_of_view", pleural_effusion=0.6).hu)
        assert (again.metadata["failure"], again.metadata["severity"]) == ("cut_field_of_view", 1.0)
        assert again.metadata["pathologies"] == "pleural_effusion"


@pytest.mark.parametrize(
    "wrong",
    [
        {"pathologies": {"gout": 0.5}},
        {"pathologies": {"consolidation": 0.0}},
        {"failure": "fire"},
        {"failure": "noise", "severity": 1.5},
        {"age": 5},
        {"sex": "X"},
    ],
)
def test_a_case_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(UsageError):
        PhantomCase(**wrong)


class TestCohorts:
    def test_no_two_share_a_patient(self):
        seeds = [{member.seed for member in members(name, 100, seed)} for name in COHORTS for seed in (0, 1)]
        assert len(set.union(*seeds)) == sum(map(len, seeds))

    def test_a_longer_one_begins_with_the_shorter_one(self):
        for name in COHORTS:
            assert members(name, 100)[:30] == members(name, 30)

    def test_who_is_in_them(self):
        for name in ("training", "test"):
            assert all(
                member.case == PhantomCase(severity=member.case.severity) for member in members(name, 200)
            )
        assert not any(member.case.failure for member in members("reference", 500))
        hospital = members("hospital", 2000)
        assert 0.2 < np.mean([member.case.failure is not None for member in hospital]) < 0.3
        assert 0.25 < np.mean([bool(member.case.pathologies) for member in hospital]) < 0.35
        assert {member.case.failure for member in hospital} == {None, *FAILURES}

    def test_the_series_has_every_failure_at_every_severity_of_one_patient(self):
        series = members("failures", 58)
        assert [len({member.seed for member in part}) for part in (series[:29], series[29:])] == [1, 1]
        assert series[0].case == PhantomCase()
        told = {(member.case.failure, member.case.severity) for member in series[1:29]}
        assert told == {(failure, severity) for failure in FAILURES for severity in (0.25, 0.5, 0.75, 1.0)}

    def test_a_tree_on_the_disk_is_the_cohort(self, tmp_path):
        seed = next(s for s in range(50) if members("hospital", 1, s)[0].case.pathologies)
        (member,) = members("hospital", 1, seed)
        paths = list(write_tree("hospital", tmp_path, n=1, seed=seed, spacing_mm=SPACING_MM))
        assert paths == [tmp_path / "s0001" / "ct.nii.gz"]
        phantom = make_phantom(member.seed, SPACING_MM, member.case)
        ct = nib.load(paths[-1])
        assert np.array_equal(np.asarray(ct.dataobj), phantom.hu)
        assert np.allclose(ct.affine, phantom.grid.affine)
        for index, name in enumerate(THORAX_CLASSES[1:], 1):
            mask = nib.load(paths[-1].parent / "segmentations" / f"{name}.nii.gz")
            assert np.array_equal(np.asarray(mask.dataobj), phantom.labels == index)
        healthy = np.zeros(phantom.grid.shape, dtype=bool)
        for name in PATHOLOGIES:
            written = nib.load(tmp_path / "rois" / member.scan_id / f"{name}.nii.gz")
            assert np.array_equal(np.asarray(written.dataobj), phantom.pathologies.get(name, healthy))
        table = pd.read_csv(tmp_path / "meta.csv", sep=";", keep_default_na=False)
        assert list(table["image_id"]) == [path.parent.name for path in paths]
        assert table["pathology"].iloc[-1] == next(iter(member.case.pathologies))
        assert set(table["gender"]) <= {"f", "m"}

    def test_cohorts_are_not_mixed_in_a_folder(self, tmp_path):
        list(write_tree("test", tmp_path, n=2, spacing_mm=SPACING_MM))
        with pytest.raises(UsageError, match=r"other scans \(s0002\)"):
            list(write_tree("test", tmp_path, n=1, spacing_mm=SPACING_MM))

    @pytest.mark.parametrize(("name", "n", "seed"), [("zoo", 1, 0), ("test", 0, 0), ("test", 1, -1)])
    def test_what_makes_no_sense_is_refused(self, name, n, seed):
        with pytest.raises(UsageError):
            members(name, n, seed)
