import gzip

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agg2exp_core.volumes import content_hash, nifti_reader, read_nifti, write_nifti

from .grids import oblique, oriented


def save(path, values, affine=None, kind=nib.Nifti1Image):
    nib.save(kind(values, np.eye(4) if affine is None else affine), path)
    return path


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
@pytest.mark.parametrize("order", "<>")
def test_every_real_type_and_byte_order(tmp_path, dtype, order):
    values = np.arange(2 * 3 * 4).reshape(2, 3, 4).astype(dtype)
    header = nib.Nifti1Header(endianness=order)
    image = nib.Nifti1Image(values, np.diag([2.0, 3.0, 4.0, 1.0]), header, dtype=values.dtype)
    nib.save(image, tmp_path / "a.nii")
    volume = read_nifti(tmp_path / "a.nii")
    assert volume.values.dtype == np.float32
    np.testing.assert_array_equal(volume.values, values)
    assert volume.grid.affine.dtype == np.float64
    assert volume.grid.spacing_mm == (2.0, 3.0, 4.0)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("axcodes", ["RAS", "LPS", "LIA", "PIR", "SAL"])
def test_orientations_are_kept_as_in_the_file(tmp_path, kind, axcodes):
    grid = oriented(tuple(axcodes), (1.0, 2.0, 3.0), (5.0, -6.0, 7.0))
    values = np.random.default_rng(0).normal(size=grid.shape).astype(np.float32)
    volume = read_nifti(save(tmp_path / "a.nii.gz", values, grid.affine, kind))
    np.testing.assert_array_equal(volume.values, values)
    np.testing.assert_allclose(volume.grid.affine, grid.affine, atol=1e-6)
    assert nib.aff2axcodes(volume.grid.affine) == tuple(axcodes)


def test_slope_and_intercept(tmp_path):
    stored = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    image = nib.Nifti1Image(stored, np.eye(4))
    image.header.set_slope_inter(0.5, -1024.0)
    nib.save(image, tmp_path / "a.nii.gz")
    raw = bytearray(gzip.decompress((tmp_path / "a.nii.gz").read_bytes()))
    assert np.frombuffer(raw[112:120], "<f4").tolist() == [0.5, -1024.0]
    disk = np.frombuffer(raw[352:], "<i2").reshape(3, 4, 5, order="F")  # nibabel undoes the slope when saving
    np.testing.assert_array_equal(read_nifti(tmp_path / "a.nii.gz").values, disk * 0.5 - 1024)


def test_one_volume_in_four_axes_is_squeezed(tmp_path):
    values = np.arange(24, dtype=np.int16).reshape(2, 3, 4, 1)
    np.testing.assert_array_equal(read_nifti(save(tmp_path / "a.nii", values)).values, values[..., 0])


@pytest.mark.parametrize("grid", [oblique(), oriented("LAS", (1.0, 2.0, 3.0)), oriented("RAS")])
def test_qform_alone_gives_the_affine(tmp_path, grid):
    image = nib.Nifti1Image(np.arange(np.prod(grid.shape), dtype=np.int16).reshape(grid.shape), grid.affine)
    image.set_sform(None, code=0)
    image.set_qform(grid.affine, code=1)
    nib.save(image, tmp_path / "a.nii")
    np.testing.assert_allclose(read_nifti(tmp_path / "a.nii").grid.affine, grid.affine, atol=1e-4)
    if np.linalg.det(grid.affine) > 0:
        raw = bytearray((tmp_path / "a.nii").read_bytes())
        raw[76:80] = bytes(4)  # qfac 0 stands for 1
        (tmp_path / "a.nii").write_bytes(raw)
        np.testing.assert_allclose(read_nifti(tmp_path / "a.nii").grid.affine, grid.affine, atol=1e-4)


def test_without_sform_and_qform_the_spacing_is_kept(tmp_path):
    image = nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), None)
    image.header.set_zooms((1.5, 2.5, 3.5))
    nib.save(image, tmp_path / "a.nii")
    assert read_nifti(tmp_path / "a.nii").grid.spacing_mm == (1.5, 2.5, 3.5)


def test_content_not_extension_decides(tmp_path):
    plain = save(tmp_path / "a.nii", np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    (tmp_path / "b.nii.gz").write_bytes(plain.read_bytes())
    assert read_nifti(tmp_path / "b.nii.gz").content_hash == read_nifti(plain).content_hash


def test_chunks_do_not_show(tmp_path, monkeypatch):
    values = np.random.default_rng(1).normal(size=(7, 8, 9)).astype(np.float64)
    whole = read_nifti(save(tmp_path / "a.nii.gz", values))
    monkeypatch.setattr(nifti_reader, "CHUNK_VOXELS", 11)
    parts = read_nifti(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(parts.values, whole.values)
    assert parts.content_hash == whole.content_hash


def test_hash_depends_on_values_shape_and_affine_and_nothing_else(tmp_path):
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    grid = oriented("RAS", shape=(2, 3, 4))
    first = content_hash(values, grid)
    write_nifti(tmp_path / "a.nii.gz", values, grid)
    volume = read_nifti(tmp_path / "a.nii.gz")
    assert volume.content_hash == first == content_hash(np.asfortranarray(values), grid)
    changed = values.copy()
    changed[1, 2, 3] += 1
    moved = oriented("RAS", origin_mm=(0, 0, 1), shape=(2, 3, 4))
    others = [
        content_hash(changed, grid),
        content_hash(values, moved),
        content_hash(values.reshape((2, 3, 4), order="F").reshape(2, 4, 3), oriented("RAS", shape=(2, 4, 3))),
    ]
    assert len({first, *others}) == 4


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(*[st.integers(2, 6)] * 3),
    dtype=st.sampled_from(["u1", "i2", "f4"]),
    seed=st.integers(0, 99),
)
def test_reads_what_nibabel_reads(tmp_path, shape, dtype, seed):
    values = np.random.default_rng(seed).integers(0, 200, shape)
    values.flat[0], values.flat[1] = 0, 1
    path = save(tmp_path / "a.nii.gz", values.astype(dtype))
    np.testing.assert_array_equal(read_nifti(path).values, nib.load(path).get_fdata(dtype=np.float32))


@pytest.mark.parametrize("name", ["ct_abdomen/ct.nii.gz", "brain_t1/t1.nii.gz"])
def test_real_scans(real_data, name):
    volume = read_nifti(real_data / name)
    image = nib.load(real_data / name)
    np.testing.assert_array_equal(volume.values, image.get_fdata(dtype=np.float32))
    np.testing.assert_array_equal(volume.grid.affine, image.affine)
