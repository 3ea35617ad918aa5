"""What a NIfTI header tells beside the form that is used: other forms, units, axes of size 1."""

import struct

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from agg2exp_core.errors import ScanError, UsageError
from agg2exp_core.volumes import read_volume

VALUES = np.random.default_rng(0).integers(-1000, 500, (7, 6, 5)).astype(np.int16)
FORM_CODES, QUATERNION, PIXDIM = 252, 256, 76


def save(path, sform=None, qform=None, values=VALUES, unit="mm", pixdim=None):
    image = nib.Nifti1Image(values, None)
    image.header.set_xyzt_units(unit)
    if qform is not None:
        image.set_qform(np.diag([*qform, 1.0]), 1)
    if pixdim is not None:
        image.header["pixdim"][1:4] = pixdim
    if sform is not None:
        own = np.diag([*sform, 1.0]) if np.ndim(sform) == 1 else sform
        (image.header if qform is None else image).set_sform(own, 2)
    nib.save(image, path)
    return path


def turned(degrees, mm=(2.0, 2.0, 2.0)):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    affine = np.eye(4)
    affine[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.diag(mm)
    return affine


@pytest.mark.parametrize(
    ("forms", "said"),
    [
        ({"sform": (2, 2, 2), "qform": (2, 2, 2)}, ""),
        ({"sform": (2, 2, 2.004), "qform": (2, 2, 2)}, ""),
        ({"sform": turned(0.5), "qform": (2, 2, 2)}, ""),
        ({"qform": (2, 2, 2)}, ""),
        ({"pixdim": (2, 2, 3)}, ""),
        (
            {"sform": (1, 1, 1), "qform": (1.5, 1.5, 5)},
            "sform and qform disagree: voxels of 1 x 1 x 1 or 1.5",
        ),
        (
            {"sform": (1, 1, 1), "pixdim": (1, 1, 5)},
            "sform and pixdim disagree: voxels of 1 x 1 x 1 or 1 x 1",
        ),
        ({"sform": turned(20), "qform": (2, 2, 2)}, "disagree by 20 degrees"),
        ({"sform": (-2, 2, 2), "qform": (2, 2, 2)}, "disagree by 180 degrees"),
    ],
)
def test_forms_that_disagree_are_told(tmp_path, forms, said):
    volume = read_volume(save(tmp_path / "a.nii", **forms))
    assert [remark.code for remark in volume.remarks] == ["geometry"] * bool(said)
    assert said in "".join(remark.text for remark in volume.remarks)
    if "sform" in forms:
        expected = forms["sform"] if np.ndim(forms["sform"]) == 2 else np.diag([*forms["sform"], 1.0])
        np.testing.assert_allclose(volume.grid.affine, expected, atol=1e-6)


def test_the_grid_of_another_reader_is_that_readers(tmp_path):
    path = save(tmp_path / "a.nii", sform=(-1, -1, 1), qform=(-1.5, -1.5, 5))
    image = SimpleITK.ReadImage(str(path))
    grid = read_volume(path, "itk").grid
    assert grid.spacing_mm == pytest.approx(image.GetSpacing())
    last = image.TransformIndexToPhysicalPoint((6, 5, 4))
    np.testing.assert_allclose(grid.affine @ [6, 5, 4, 1], [-last[0], -last[1], last[2], 1], atol=1e-5)
    assert read_volume(path, "zooms").grid.spacing_mm == pytest.approx((1.5, 1.5, 5))
    assert read_volume(path).grid.spacing_mm == (1, 1, 1)
    with pytest.raises(UsageError, match="'fsl'"):
        read_volume(path, "fsl")


@pytest.mark.parametrize(("unit", "mm"), [("micron", 2e-3), ("meter", 2e3), ("mm", 2.0), ("unknown", 2.0)])
def test_lengths_are_in_the_unit_of_the_header(tmp_path, unit, mm):
    volume = read_volume(save(tmp_path / "a.nii", sform=(2, 2, 2), qform=(2, 2, 2), unit=unit))
    assert volume.grid.spacing_mm == pytest.approx((mm,) * 3)
    assert volume.grid.spacing_mm == pytest.approx(SimpleITK.ReadImage(str(tmp_path / "a.nii")).GetSpacing())
    assert [remark.code for remark in volume.remarks] == ["units"] * (unit in ("micron", "meter"))


@pytest.mark.parametrize("excess", [1e-7, 1e-6, 1e-4])
def test_a_quaternion_just_over_one_is_read_as_itk_reads_it(tmp_path, excess):
    block = bytearray(save(tmp_path / "a.nii", qform=(2, 2, 2)).read_bytes())
    struct.pack_into("<2h", block, FORM_CODES, 1, 0)
    part = np.sqrt((1 + excess) / 2)
    struct.pack_into("<3f", block, QUATERNION, 0.0, part, part)
    (tmp_path / "a.nii").write_bytes(block)
    affine = read_volume(tmp_path / "a.nii").grid.affine
    theirs = np.array(SimpleITK.ReadImage(str(tmp_path / "a.nii")).GetDirection()).reshape(3, 3)
    np.testing.assert_allclose(affine[:3, :3], np.diag([-1, -1, 1]) @ theirs * 2, atol=1e-3)


def test_a_quaternion_that_is_no_rotation_is_named(tmp_path):
    block = bytearray(save(tmp_path / "a.nii", qform=(2, 2, 2)).read_bytes())
    struct.pack_into("<3f", block, QUATERNION, 0.0, 1.0, 1.0)
    (tmp_path / "a.nii").write_bytes(block)
    with pytest.raises(ScanError, match="quaternion"):
        read_volume(tmp_path / "a.nii")


@pytest.mark.parametrize("shape", [(7, 6, 5, 1), (7, 6, 5, 1, 1), (7, 6, 5, 1, 3), (7, 6, 5, 3, 1, 1)])
def test_axes_of_size_1_hold_nothing(tmp_path, shape):
    n_channels = int(np.prod(shape[3:]))
    values = np.random.default_rng(1).integers(-1000, 500, shape).astype(np.int16)
    read = read_volume(save(tmp_path / "a.nii", sform=(2, 2, 2), qform=(2, 2, 2), values=values)).values
    channels = np.moveaxis(values.reshape(7, 6, 5, n_channels), -1, 0)
    np.testing.assert_array_equal(read if read.ndim == 4 else read[None], channels)


@pytest.mark.parametrize(("degrees", "said"), [(0.1, []), (15.0, ["shear"])])
def test_axes_that_a_tilted_gantry_left_oblique_are_told(tmp_path, degrees, said):
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[1:3, 2] = 2 * np.sin(np.radians(degrees)), 2 * np.cos(np.radians(degrees))
    volume = read_volume(save(tmp_path / "a.nii", sform=affine, pixdim=(2, 2, 2)))
    assert [remark.code for remark in volume.remarks] == said
    np.testing.assert_allclose(volume.grid.affine, affine, atol=1e-6)
