"""Models and cohorts of other makers through the whole path."""

import json

import nibabel as nib
import numpy as np
import pytest
import xarray as xr

from agg2exp_cli.__main__ import run
from agg2exp_core import attribute, load_model, load_scan
from agg2exp_core.store import open_store
from tests.flows.cohort import CLASS_NAMES, write_model, write_scan
from tests.models import nnunet_folder

pytestmark = pytest.mark.usefixtures("prefect_server")


def test_a_folder_of_nnunet_explains_the_scans_of_a_datalist(tmp_path):
    folder = nnunet_folder.train(tmp_path, nnunet_folder.plan(tmp_path))
    scans = [nnunet_folder.write_scan(tmp_path / f"{name}.nii.gz", seed=n) for n, name in enumerate("abc")]
    entries = {"training": [{"image": scans[0].name}], "test": [{"image": path.name} for path in scans[1:]]}
    (tmp_path / "list.json").write_text(json.dumps(entries))
    store, options = tmp_path / "store", ["--model", str(folder.parent), "--method", "vanilla_gradient"]
    datalist = ["--datalist", str(tmp_path / "list.json")]
    assert run(["explain", *datalist, *options, "--out", str(store)]) == 0
    matrices = xr.open_zarr(f"{store}/importance.zarr", group="vanilla_gradient").load()
    assert matrices["scan"].values.tolist() == ["b", "c"]
    assert matrices["roi"].values.tolist() == list(nnunet_folder.LABELS)
    model = load_model(folder, "cpu")
    scan = load_scan(scans[1], model)
    stored = open_store(str(store)).scan("b")
    for item in attribute(model, scan, "vanilla_gradient"):
        values = stored.attribution("vanilla_gradient", item.class_name).compute()
        np.testing.assert_allclose(values, item.values, atol=1e-5 * np.abs(item.values).max())
    out = tmp_path / "labels.nii.gz"
    assert run(["export", str(store), "--scan-id", "b", "--out", str(out)]) == 0
    exported, source = nib.load(out), nib.load(scans[1])
    assert exported.shape == source.shape
    np.testing.assert_allclose(exported.affine, source.affine)
    assert run(["explain", *datalist, "--split", "validation", *options, "--out", str(store)]) == 2


def test_channels_are_attributed_one_by_one_and_summed_in_regions(tmp_path):
    """Two channels in the fourth axis of a file: an array a channel, sums over both in the matrix."""
    parts = [nib.load(write_scan(tmp_path / "parts" / f"{n}.nii", seed=n)) for n in range(2)]
    scan_file = tmp_path / "both.nii.gz"
    values = np.stack([part.get_fdata() for part in parts], axis=-1).astype(np.int16)
    nib.save(nib.Nifti1Image(values, parts[0].affine), scan_file)
    model_folder, store = write_model(tmp_path / "model", n_channels=2), tmp_path / "store"
    options = ["--model", str(model_folder), "--method", "vanilla_gradient", "--out", str(store)]
    assert run(["explain", str(scan_file), *options]) == 0
    model = load_model(model_folder, "cpu")
    scan = load_scan(scan_file, model)
    assert scan.image.shape[0] == 2
    there = open_store(str(store)).scan("both")
    matrix = xr.open_zarr(f"{store}/importance.zarr", group="vanilla_gradient").load().sel(scan="both")
    labels = there.prediction().labels
    n_explained = 0
    for item in attribute(model, scan, "vanilla_gradient"):
        assert item.values.shape == scan.image.shape
        kept = there.attribution("vanilla_gradient", item.class_name).compute()
        np.testing.assert_allclose(kept, item.values, atol=1e-5 * np.abs(item.values).max())
        strength = np.abs(kept).astype(np.float64)
        assert strength[0].sum() > 0
        assert strength[1].sum() > 0
        for index, name in enumerate(CLASS_NAMES):
            expected = strength[:, labels == index].sum() / strength.sum()
            found = float(matrix["mass"].sel(target=item.class_name, roi=name))
            assert found == pytest.approx(expected, rel=1e-6)
        n_explained += 1
    assert n_explained >= 2
    name = there.prediction().present[1]
    out = tmp_path / "why.nii.gz"
    chosen = ["--scan-id", "both", "--label", "vanilla_gradient", "--class", name]
    assert run(["export", str(store), *chosen, "--out", str(out)]) == 0
    assert nib.load(out).shape == (*parts[0].shape, 2)
