"""Methods from outside the package, all the way into the store."""

import numpy as np
import pytest
import xarray as xr

from agg2exp_cli.__main__ import run
from agg2exp_core.store import open_store
from tests.flows.cohort import write_model, write_scan

pytestmark = pytest.mark.usefixtures("prefect_server")

MODULE = """
def gradient(problem, classes, factor=1.0):
    for c, values in zip(classes, problem.gradients(problem.image, classes)):
        yield c, factor * values, {"factor": factor}

gradient.random = False
"""


def test_own_and_captums_methods_are_stored_like_ours(tmp_path, monkeypatch, capsys):
    (tmp_path / "stored_methods.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    write_scan(tmp_path / "s1.nii.gz", seed=1)
    places = ["--model", str(write_model(tmp_path / "model")), "--out", str(tmp_path / "store")]

    def explain(*options):
        return run(["explain", str(tmp_path / "s1.nii.gz"), *places, *options])

    assert explain("--method", "vanilla_gradient") == 0
    assert explain("--method", "stored_methods:gradient") == 0
    assert explain("--method", "stored_methods:gradient", "--set", "factor=2", "--label", "twice") == 0
    assert explain("--method", "captum:Saliency", "--set", "abs=false", "--label", "saliency") == 0
    there = open_store(tmp_path / "store").scan("s1")
    names = set(there.units("vanilla_gradient"))
    assert len(names) >= 3
    for name in names:
        ours = there.attribution("vanilla_gradient", name).compute()
        for label, factor in (("stored_methods.gradient", 1), ("twice", 2), ("saliency", 1)):
            assert np.array_equal(there.attribution(label, name).compute(), factor * ours)
    matrices = xr.open_zarr(f"{tmp_path}/store/importance.zarr", group="stored_methods.gradient")
    assert np.isfinite(matrices["mass"]).any()
    capsys.readouterr()
    assert explain("--method", "stored_methods:gradient", "--set", "factor=3", "--label", "twice") == 2
    assert "twice" in capsys.readouterr().err
