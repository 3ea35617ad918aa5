"""Real scans and a real model through the whole path, cropped to save time."""

import json

import nibabel as nib
import numpy as np
import pytest
import xarray as xr

from agg2exp_cli.__main__ import run
from agg2exp_core.store import open_store
from tests.flows.cohort import write_model

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.mark.long
@pytest.mark.timeout(600)
def test_brain_with_a_real_bundle(real_data, tmp_path):
    """One window in the middle of the head; the middle of a head is half brain."""
    whole = nib.load(real_data / "brain_t1" / "t1.nii.gz")
    nib.save(whole.slicer[76:172, 60:156, 80:176], tmp_path / "head.nii.gz")
    model, out = real_data / "models" / "meshnet_gwm", tmp_path / "store"
    options = ["--model", str(model), "--method", "vanilla_gradient", "--classes", "White Matter"]
    assert run(["explain", str(tmp_path / "head.nii.gz"), *options, "--out", str(out)]) == 0
    matrices = xr.open_zarr(f"{out}/importance.zarr", group="vanilla_gradient").load()
    assert matrices["roi"].values.tolist() == ["background", "White Matter", "Grey Matter"]
    np.testing.assert_allclose(matrices["mass"].sel(target="White Matter").sum("roi"), 1)
    n_voxels = matrices["n_voxels"].sel(scan="head").values
    assert n_voxels.sum() >= 96**3
    assert (n_voxels > 0.05 * n_voxels.sum()).all()


@pytest.mark.slow
def test_ct_with_its_61_structures_as_regions(real_data, tmp_path):
    folder = real_data / "ct_abdomen"
    out = tmp_path / "store"
    options = [
        "--model",
        str(write_model(tmp_path / "model")),
        "--method",
        "vanilla_gradient",
        "--classes",
        "left,right",
        "--rois",
        str(folder / "labels.nii.gz"),
        "--roi-names",
        str(folder / "labels.json"),
        "--out",
        str(out),
    ]
    crop = nib.load(folder / "ct.nii.gz").slicer[20:110, 20:90, 30:94]
    nib.save(crop, tmp_path / "ct.nii.gz")
    assert run(["explain", str(tmp_path / "ct.nii.gz"), *options]) == 0
    names = json.loads((folder / "labels.json").read_text())
    matrices = xr.open_zarr(f"{out}/importance.zarr", group="vanilla_gradient").load().sel(scan="ct")
    extra = matrices.sel(roi=matrices["roi_kind"] == "extra")
    assert set(extra["roi"].values) == set(names.values())
    liver = extra["mass"].sel(roi="liver", target="left")
    there = open_store(out).scan("ct")
    mask = there.rois()["liver"].compute()
    values = np.abs(there.attribution("vanilla_gradient", "left").compute()).astype(np.float64)
    assert mask.sum() > 10_000
    assert float(liver) == pytest.approx(values[mask].sum() / values.sum(), rel=1e-9)
    np.testing.assert_allclose(
        matrices["mass"].sel(roi=matrices["roi_kind"] == "class").sum("roi").sel(target=["left", "right"]), 1
    )
