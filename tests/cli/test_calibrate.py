"""The commands that need no truth, on a small model: what they print, and what they refuse."""

import pytest
import torch

import agg2exp_core.models
from agg2exp_cli.__main__ import run
from agg2exp_core.pipeline import calibrate
from agg2exp_core.volumes import CTPreprocessing
from tests.networks import smooth_model
from tests.pipeline.test_calibrate import write_scan


@pytest.fixture(autouse=True)
def small_model(monkeypatch):
    model = smooth_model(torch.float32, preprocessing=CTPreprocessing(spacing_mm=4.0))
    monkeypatch.setattr(agg2exp_core.models, "check_reference", lambda ref: None)
    monkeypatch.setattr(calibrate, "load_model", lambda ref, device: model)


def test_calibrate_tells_where_what_it_learnt_lies(tmp_path, capsys):
    path, out = write_scan(tmp_path, 1), tmp_path / "out"
    (tmp_path / "bad.nii.gz").write_bytes(b"no scan")
    command = ["calibrate", "--model", "small", "--out", str(out), "--n-severities", "1"]
    assert run([*command, str(path)]) == 0
    assert f"{out}/quality.json" in capsys.readouterr().out
    assert run([*command, str(path), str(tmp_path / "bad.nii.gz")]) == 3
    told = capsys.readouterr()
    assert "1 done before" in told.out
    assert "error: " in told.err
    assert "bad" in told.err


def test_truth_and_no_truth_exclude_each_other(tmp_path, capsys):
    command = ["compare-models", "a", "b", "--out", str(tmp_path), "--tree", "t", "--without-truth", "s"]
    assert run(command) == 2
    assert capsys.readouterr().err.startswith("error: --without-truth: ")
