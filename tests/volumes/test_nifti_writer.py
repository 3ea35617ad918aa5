import nibabel as nib
import numpy as np
import pytest

from agg2exp_core.errors import UsageError
from agg2exp_core.types import Grid
from agg2exp_core.volumes import read_nifti, write_nifti

from .grids import oblique, oriented


@pytest.mark.parametrize("grid", [oblique(), oriented("LIA"), oriented("LPS", (1.0, 2.0, 3.0))])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_round_trip(tmp_path, grid, name):
    values = np.random.default_rng(0).normal(size=grid.shape)
    write_nifti(tmp_path / name, values, grid)
    volume = read_nifti(tmp_path / name)
    np.testing.assert_array_equal(volume.values, values.astype(np.float32))
    np.testing.assert_allclose(volume.grid.affine, grid.affine, atol=1e-5)
    header = nib.load(tmp_path / name).header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 1)
    np.testing.assert_allclose(header.get_qform(), grid.affine, atol=1e-4)
    assert header.get_xyzt_units()[0] == "mm"
    assert bytes(header["descrip"]).strip(b"\0") == b""
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_shear_has_no_qform(tmp_path):
    affine = np.eye(4)
    affine[0, 2] = 0.3  # a tilted gantry
    write_nifti(tmp_path / "a.nii", np.arange(24.0).reshape(2, 3, 4), Grid((2, 3, 4), affine))
    header = nib.load(tmp_path / "a.nii").header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 0)
    np.testing.assert_allclose(read_nifti(tmp_path / "a.nii").grid.affine, affine, atol=1e-7)


@pytest.mark.parametrize(
    ("values", "stored"),
    [
        ([False, True], "u1"),
        ([0, 17], "u1"),
        ([0, 255], "u1"),
        ([0, 256], "u2"),
        ([0, 70000], "u4"),
        ([-1, 200], "i2"),
        ([0.5, 2.0], "f4"),
    ],
)
def test_smallest_type(tmp_path, values, stored):
    array = np.resize(np.array(values), (2, 2, 2))
    write_nifti(tmp_path / "a.nii.gz", array, oriented("RAS", shape=(2, 2, 2)))
    image = nib.load(tmp_path / "a.nii.gz")
    assert image.get_data_dtype() == np.dtype(stored)
    np.testing.assert_array_equal(np.asarray(image.dataobj), array)


def test_channels_come_last_in_the_file(tmp_path):
    grid = oriented("RAS", shape=(3, 4, 5))
    values = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    write_nifti(tmp_path / "a.nii.gz", values, grid)
    np.testing.assert_array_equal(nib.load(tmp_path / "a.nii.gz").get_fdata(), np.moveaxis(values, 0, -1))


def test_equal_input_gives_equal_bytes(tmp_path):
    grid, values = oblique(), np.random.default_rng(0).integers(0, 9, (24, 22, 18))
    write_nifti(tmp_path / "a.nii.gz", values, grid)
    write_nifti(tmp_path / "b.nii.gz", values, grid)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    grid, values = oriented("RAS"), np.random.default_rng(0).normal(size=(12, 13, 14))
    write_nifti(tmp_path / "a.nii.gz", values, grid)
    before = (tmp_path / "a.nii.gz").read_bytes()

    def full_disk(image, path):
        path.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nib, "save", full_disk)
    with pytest.raises(UsageError, match="No space left"):
        write_nifti(tmp_path / "a.nii.gz", values + 1, grid)
    assert (tmp_path / "a.nii.gz").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_wrong_use(tmp_path):
    grid, values = oriented("RAS"), np.zeros((12, 13, 14))
    with pytest.raises(UsageError, match="another extension"):
        write_nifti(tmp_path / "a.mha", values, grid)
    with pytest.raises(UsageError, match="for a grid of"):
        write_nifti(tmp_path / "a.nii", values[1:], grid)
    with pytest.raises(UsageError, match="cannot be written"):
        write_nifti(tmp_path / "none" / "a.nii", values, grid)
