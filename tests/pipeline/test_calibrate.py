"""Calibration of a small model: what is measured is kept, and one bad scan stops nothing."""

import numpy as np
import pytest
import torch

from agg2exp_core.errors import UsageError
from agg2exp_core.pipeline import calibrate as module
from agg2exp_core.pipeline.calibrate import calibrate
from agg2exp_core.pipeline.outcomes import ScanJob
from agg2exp_core.pipeline.settings import CalibrateSettings
from agg2exp_core.quality import CORRUPTIONS, dice_of, read_quality
from agg2exp_core.types import Grid
from agg2exp_core.volumes import CTPreprocessing, write_nifti
from tests.networks import CLASS_NAMES, smooth_model


def write_scan(folder, n):
    """A file of noise, of which the small model calls every class something."""
    values = np.random.default_rng(n).integers(-1000, 1000, (9, 10, 12)).astype(np.int16)
    path = folder / f"s{n}.nii.gz"
    write_nifti(path, values, Grid(values.shape, np.diag([4.0, 4.0, 4.0, 1.0])))
    return path


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    model = smooth_model(torch.float32, preprocessing=CTPreprocessing(spacing_mm=4.0))
    monkeypatch.setattr(module, "load_model", lambda ref, device: model)
    found = [ScanJob(f"s{n}", str(write_scan(tmp_path, n))) for n in range(2)]
    bad = tmp_path / "bad.nii.gz"
    bad.write_bytes(b"no scan")
    return [found[0], ScanJob("bad", str(bad)), found[1]]


def test_it_goes_on_where_it_stopped_and_names_what_it_cannot_use(jobs, tmp_path):
    settings = CalibrateSettings(model="small", out=str(tmp_path / "out"), n_severities=1)
    told = []
    first = calibrate(jobs[:1], settings)
    both = calibrate(jobs, settings, lambda done, total: told.append((done, total)))
    assert (first.n_kept, both.n_kept) == (0, 1)
    assert [bad.scan_id for bad in both.rejected] == ["bad"]
    assert str(tmp_path) not in both.rejected[0].reason
    assert both.quality == read_quality(tmp_path / "out" / "quality.json")
    assert (both.quality.n_scans, both.quality.scaled) == (2, False)
    assert set(both.quality.classes) <= set(CLASS_NAMES[1:])
    assert set(both.quality.corruptions) == set(CORRUPTIONS)
    assert told[-1][0] == told[-1][1] == 3 * (1 + len(CORRUPTIONS))
    anew = calibrate(jobs, settings.model_copy(update={"out": str(tmp_path / "anew")}))
    assert anew.quality == both.quality
    with pytest.raises(UsageError, match="bad"):
        calibrate(jobs[1:2], settings)


def test_dice_of_label_maps():
    found, truth = np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2])
    np.testing.assert_allclose(dice_of(found, truth, 4), [1, 2 / 3, 2 / 3, np.nan])
