"""Intensities that are no Hounsfield units are refused for CT, and those of any part of a body are not."""

from types import SimpleNamespace

import numpy as np
import pytest

from agg2exp_core.errors import ScanError
from agg2exp_core.types import Volume
from agg2exp_core.volumes import CTPreprocessing, load_scan, preprocess, read_volume, write_nifti
from agg2exp_core.volumes.plausibility import HOUNSFIELD, NO_HOUNSFIELD, remarks_on

from .grids import oriented
from .test_scan import model

GRID = oriented("RAS", (2.0, 2.0, 2.0), shape=(32, 32, 16))


def body(seed=0, noise=12.0):
    """A cylinder of fat, muscle, lung and bone in air, with the noise of a scanner."""
    x, y, _ = np.meshgrid(*(np.linspace(-1, 1, n) for n in GRID.shape), indexing="ij")
    hu = np.full(GRID.shape, -1000.0)
    radius = np.hypot(x, y)
    hu[radius < 0.85], hu[radius < 0.75] = -100.0, 50.0
    hu[np.hypot(x - 0.3, y) < 0.25] = -850.0
    hu[np.hypot(x + 0.3, y) < 0.08] = 900.0
    return hu + np.random.default_rng(seed).normal(0, noise, GRID.shape)


def scaled(hu):
    return (np.clip(hu, -1024, 1024) + 1024) / 2048


def sparse(values, few, share=1e-3):
    """The values, with a small share of them below zero as resampling leaves them."""
    return np.where(np.random.default_rng(1).random(values.shape) < share, few, values)


NO_HU = {
    "offset of 1024": lambda hu: hu + 1024,
    "offset of 1000, much noise": lambda hu: hu + 1000 + np.random.default_rng(2).normal(0, 40, hu.shape),
    "offset, padding of -2000": lambda hu: np.where(hu < -900, -2000, hu + 1024),
    "offset, padding of -3024": lambda hu: np.where(hu < -900, -3024, hu + 1024),
    "intercept twice": lambda hu: hu - 1024,
    "from 0 to 1": scaled,
    "from -1 to 1": lambda hu: 2 * scaled(hu) - 1,
    "z-scores": lambda hu: (hu - hu.mean()) / hu.std(),
    "from 0 to 1, some below": lambda hu: sparse(scaled(hu), -0.02),
    "from 0 to 255, some below": lambda hu: sparse(255 * scaled(hu), -4.0),
    "unsigned wrap of the negative": lambda hu: np.where(hu < 0, hu + 65536, hu) - 1,
    "ten times": lambda hu: 10 * hu,
    "bright padding": lambda hu: np.where(hu < -900, 62512, hu),
}


def volume(values):
    return Volume(values.astype(np.float32), GRID, "0", "scan.nii.gz")


@pytest.mark.parametrize("case", NO_HU)
def test_other_units_are_refused_unless_the_user_knows_better(case):
    with pytest.raises(ScanError, match=r"not in Hounsfield units.*--accept hu"):
        preprocess(volume(NO_HU[case](body())), CTPreprocessing())
    _, _, remarks = preprocess(volume(NO_HU[case](body())), CTPreprocessing(), ["hu"])
    assert [remark.code for remark in remarks] == ["hu"]


HU = {
    "a body": lambda hu: hu,
    "much noise": lambda hu: hu + np.random.default_rng(3).normal(0, 60, hu.shape),
    "padding of -3024": lambda hu: np.where(hu < -950, -3024, hu),
    "nine tenths of padding": lambda hu: np.where(np.arange(hu.shape[2]) < 14, -2000, hu),
    "metal": lambda hu: np.where(np.random.default_rng(4).random(hu.shape) < 0.01, 8000, hu),
}


@pytest.mark.parametrize("case", HU)
def test_hounsfield_units_are_taken_without_a_word(case):
    assert list(remarks_on(volume(HU[case](body())), CTPreprocessing())) == []


def test_a_window_of_hounsfield_units_is_told_and_a_part_without_air_is_not():
    (remark,) = remarks_on(volume(np.clip(body(), -160, 240)), CTPreprocessing())
    assert (remark.allowed, remark.text) == ("", "intensities are clipped at -160, far above air")
    without_air = np.where(
        body() < -200, -100 + 12 * np.random.default_rng(5).normal(size=GRID.shape), body()
    )
    assert list(remarks_on(volume(without_air), CTPreprocessing())) == []


def test_real_ct_is_taken_and_real_mr_is_not(real_data):
    for name in ("ct_abdomen/ct.nii.gz", "ct_abdomen_dicom"):
        assert list(remarks_on(read_volume(real_data / name), CTPreprocessing())) == []
    (remark,) = remarks_on(read_volume(real_data / "brain_t1/t1.nii.gz"), CTPreprocessing())
    assert remark.code == "hu"


@pytest.mark.parametrize("is_mr", [False, True])
def test_a_ct_for_a_model_that_normalises_each_scan(is_mr):
    preprocessing = SimpleNamespace(expects=(NO_HOUNSFIELD,), for_another_modality=is_mr)
    (remark,) = remarks_on(volume(body()), preprocessing)
    assert remark.code == "modality"
    assert bool(remark.allowed) == is_mr  # refused where the model says what it is for
    assert list(remarks_on(volume(500 * scaled(body())), preprocessing)) == []


def test_each_channel_has_its_own_expectation():
    two = Volume(np.stack([body(), scaled(body())]).astype(np.float32), GRID, "0", "scan")
    (remark,) = remarks_on(two, SimpleNamespace(expects=(HOUNSFIELD,)))
    assert remark.text.startswith("channel 2: ")
    assert list(remarks_on(two, SimpleNamespace(expects=(HOUNSFIELD, "")))) == []


def test_a_scan_carries_what_is_doubtful(tmp_path):
    write_nifti(tmp_path / "s.nii.gz", (body() + 1024).astype(np.float32), GRID)
    with pytest.raises(ScanError, match="Hounsfield"):
        load_scan(tmp_path / "s.nii.gz", model())
    (remark,) = load_scan(tmp_path / "s.nii.gz", model(), accept=["hu"]).remarks
    assert "not in Hounsfield units" in remark.text
