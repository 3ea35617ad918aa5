"""An extra region goes, and the matrices are those that they would be without it."""

import nibabel as nib
import numpy as np
import pytest
import xarray as xr
import zarr

from agg2exp_cli.__main__ import run
from agg2exp_core.store import open_store
from tests.flows.cohort import write_model, write_scan

pytestmark = pytest.mark.usefixtures("prefect_server")

LABEL = "vanilla_gradient"


def explained(folder, out, *regions):
    """Explain two scans with extra regions, of which the second keeps no voxels; return the store."""
    for seed, name in enumerate(("s1", "s2")):
        image = nib.load(write_scan(folder / "scans" / f"{name}.nii.gz", seed=seed))
        values = np.asanyarray(image.dataobj)
        masks = {"bright": values > 100, "dark": values < -100, "middling": abs(values) < 50}
        (folder / out / name).mkdir(parents=True)
        for region in regions:
            mask = nib.Nifti1Image(masks[region].astype(np.uint8), image.affine)
            nib.save(mask, folder / out / name / f"{region}.nii.gz")
        words = ["explain", str(folder / "scans" / f"{name}.nii.gz"), "--model", str(folder / "model")]
        words += ["--out", str(folder / f"store-{out}"), "--method", LABEL, "--rois", str(folder / out)]
        assert run(words + ["--no-voxels"] * (name == "s2")) == 0
    return folder / f"store-{out}"


def matrices(place):
    return xr.open_zarr(f"{place}/importance.zarr", group=LABEL).load()


@pytest.mark.slow
def test_columns_go_and_the_rest_is_as_if_it_had_never_been(tmp_path, capsys):
    write_model(tmp_path / "model")
    expected = matrices(explained(tmp_path, "two", "bright", "middling"))
    place = explained(tmp_path, "three", "bright", "dark", "middling")
    assert "dark" in matrices(place)["roi"]
    assert run(["reduce", str(place), "--drop-roi", "dark"]) == 0
    xr.testing.assert_allclose(matrices(place), expected, rtol=1e-12)
    for name in ("s1", "s2"):
        there = open_store(place).scan(name)
        assert set(there.rois()) == {"bright", "middling"}
        rows, _ = there.importance(LABEL)
        assert "dark" not in rows["roi"]
        group = zarr.open_group(place / f"scans/{name}.zarr/labels", mode="r")
        assert group.attrs["ome"]["labels"] == ["bright", "middling", "prediction"]
    assert run(["reduce", str(place)]) == 0
    xr.testing.assert_allclose(matrices(place), expected, rtol=1e-12)
    capsys.readouterr()
    assert run(["reduce", str(place), "--drop-roi", "dark"]) == 2
    assert "error: --drop-roi: 'dark'; allowed: bright, middling" in capsys.readouterr().err
