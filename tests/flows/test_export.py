"""Results back in the scan's own space, and as a table."""

import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from agg2exp_cli.__main__ import run
from agg2exp_core.store import open_store
from tests.flows.cohort import arrays, write_model, write_scan

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture(scope="module")
def oblique(tmp_path_factory):
    """An explained scan with an oblique, left-handed, anisotropic grid."""
    folder = tmp_path_factory.mktemp("oblique")
    write_model(folder / "model")
    path = write_scan(folder / "head.nii.gz", seed=6)
    angle = np.deg2rad(20)
    turn = [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    affine = np.eye(4)
    affine[:3, :3] = np.array(turn) @ np.diag([-2.0, 2.5, 2.0])
    affine[:3, 3] = [31, -17, 5]
    nib.save(nib.Nifti1Image(np.asanyarray(nib.load(path).dataobj), affine), path)
    options = ["--model", str(folder / "model"), "--out", str(folder / "store")]
    assert run(["explain", str(path), *options, "--method", "vanilla_gradient"]) == 0
    return folder


def test_label_map_and_attribution_lie_on_the_grid_of_the_input(oblique):
    source = nib.load(oblique / "head.nii.gz")
    there = open_store(oblique / "store").scan("head")
    prediction, grid = there.prediction(), there.image().grid
    name = max(there.units("vanilla_gradient"), key=lambda c: prediction.n_voxels[c])
    why, what = f"agg2exp: vanilla_gradient of {name}", "agg2exp: prediction"
    for options, out, intent, said in (
        (["--class", name], "why.nii.gz", "estimate", why),
        ([], "labels.nii.gz", "label", what),
    ):
        assert run(["export", str(oblique / "store"), *options, "--out", str(oblique / out)]) == 0
        written = nib.load(oblique / out)
        assert written.shape == source.shape
        np.testing.assert_allclose(written.affine, source.affine, atol=1e-5)
        assert written.header["descrip"].tobytes().strip(b"\0").decode() == said  # and nothing of the source
        assert written.header.get_intent()[0] == intent
    # the same world point has the same value: through the affines, voxel by voxel
    labels = np.asanyarray(nib.load(oblique / "labels.nii.gz").dataobj)
    voxels = np.stack(np.indices(source.shape), -1).reshape(-1, 3)
    to_model = np.linalg.inv(grid.affine) @ source.affine
    position = voxels @ to_model[:3, :3].T + to_model[:3, 3]
    nearest = np.rint(position).astype(int)
    certain = (abs(position - nearest) < 0.45).all(1) & (nearest >= 0).all(1) & (nearest < grid.shape).all(1)
    assert certain.sum() > 2000
    expected = prediction.labels[tuple(nearest[certain].T)]
    np.testing.assert_array_equal(labels[tuple(voxels[certain].T)], expected)


def test_the_matrices_as_a_table(oblique):
    assert run(["export", str(oblique / "store"), "--out", str(oblique / "matrices.csv")]) == 0
    table = pd.read_csv(oblique / "matrices.csv")
    row = table.loc[table["patient"] == "head"].iloc[0]
    shares = [row[f"left_explanation_in_{roi}_mass"] for roi in ("background", "left", "right", "middle")]
    assert np.nansum(shares) == pytest.approx(1)


def test_what_is_not_there_is_refused(oblique, capsys):
    store = str(oblique / "store")
    for options, said in (
        (["--class", "lefft"], "did you mean 'left'"),
        (["--scan-id", "tail"], "head"),
        (["--class", "left", "--label", "smoothgrad"], "vanilla_gradient"),
    ):
        assert run(["export", store, *options, "--out", str(oblique / "x.nii.gz")]) == 2
        assert said in capsys.readouterr().err
    assert run(["export", store, "--out", str(oblique / "x.png")]) == 2
    for name in ("gone/x.nii.gz", "gone/x.csv"):
        assert run(["export", store, "--out", str(oblique / name)]) == 2
        assert f"{name}: a file that cannot be written (No such" in capsys.readouterr().err
    assert not (oblique / "x.nii.gz").exists()
    assert not (oblique / "gone").exists()


@pytest.mark.slow
def test_the_whole_path_on_s3_gives_the_same_arrays(oblique, s3_uri, tmp_path):
    import s3fs
    import xarray as xr

    options = ["--model", str(oblique / "model"), "--method", "vanilla_gradient", "--out", s3_uri]
    assert run(["explain", str(oblique / "head.nii.gz"), *options]) == 0
    s3fs.S3FileSystem(skip_instance_cache=True).get(s3_uri, str(tmp_path / "copy"), recursive=True)
    assert arrays(tmp_path / "copy") == arrays(oblique / "store")
    remote = xr.open_zarr(f"{s3_uri}/importance.zarr", group="vanilla_gradient")
    local = xr.open_zarr(f"{oblique}/store/importance.zarr", group="vanilla_gradient")
    xr.testing.assert_identical(remote.load(), local.load())
    assert run(["export", s3_uri, "--class", "left", "--out", str(tmp_path / "left.nii.gz")]) == 0
    assert json.loads(json.dumps(open_store(s3_uri).failures())) == {}
