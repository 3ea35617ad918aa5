"""Everything that a file may do wrong: one sentence each, at once, without memory."""

import gzip
import logging
import os
import struct
import threading
import time

import nibabel as nib
import numpy as np
import psutil
import pytest

from agg2exp_core.errors import ScanError
from agg2exp_core.volumes import read_nifti

DIM, DATATYPE, PIXDIM, OFFSET, SCALING, FORM_CODES, QUATERNION, SROW, MAGIC = (
    40, 70, 76, 108, 112, 252, 256, 280, 344,
)  # fmt: skip


@pytest.fixture(scope="module")
def good():
    """A valid uncompressed NIfTI-1 of 6 x 5 x 4 int16 voxels."""
    values = np.arange(120, dtype=np.int16).reshape(6, 5, 4)
    return nib.Nifti1Image(values, np.diag([2.0, 2.0, 3.0, 1.0])).to_bytes()


def patched(block, *edits):
    block = bytearray(block)
    for offset, layout, *numbers in edits:
        struct.pack_into(layout, block, offset, *numbers)
    return bytes(block)


HEADERS = {
    "axes of 2D data": ([(DIM, "<3h", 2, 6, 5)], "2 axes"),
    "a single slice": ([(DIM, "<4h", 3, 6, 5, 1)], r"\[6, 5, 1\]"),
    "axes of 5D data": ([(DIM, "<6h", 5, 3, 5, 2, 2, 2)], "5 axes"),
    "a series in time": ([(DIM, "<5h", 4, 3, 5, 4, 17)], r"\[3, 5, 4, 17\]"),
    "no axes": ([(DIM, "<h", 0)], "0 axes"),
    "nine axes": ([(DIM, "<h", 9)], "9 axes"),
    "negative axes": ([(DIM, "<h", -3)], "-3 axes"),
    "a negative dimension": ([(DIM, "<4h", 3, 6, -5, 4)], r"\[6, -5, 4\]"),
    "a zero dimension": ([(DIM, "<4h", 3, 6, 0, 4)], r"\[6, 0, 4\]"),
    "an unknown type": ([(DATATYPE, "<h", 999)], "unknown .code 999"),
    "no type": ([(DATATYPE, "<h", 0)], "code 0"),
    "binary": ([(DATATYPE, "<h", 1)], "code 1"),
    "complex": ([(DATATYPE, "<h", 32)], "complex64"),
    "RGB": ([(DATATYPE, "<h", 128)], "RGB"),
    "RGBA": ([(DATATYPE, "<h", 2304)], "RGBA"),
    "long double": ([(DATATYPE, "<h", 1536)], "float128"),
    "zero spacing": ([(PIXDIM + 8, "<f", 0.0)], r"\[2.0, 0.0, 3.0\]"),
    "negative spacing": ([(PIXDIM + 4, "<f", -2.0)], r"\[-2.0, 2.0, 3.0\]"),
    "NaN spacing": ([(PIXDIM + 12, "<f", np.nan)], "nan"),
    "infinite spacing": ([(PIXDIM + 12, "<f", np.inf)], "inf"),
    "singular sform": ([(SROW, "<4f", 0, 0, 0, 0)], "singular"),
    "sform in a plane": ([(SROW, "<8f", 1, 1, 0, 0, 1, 1, 0, 0)], "singular"),
    "NaN sform": ([(SROW, "<f", np.nan)], "non-finite affine"),
    "infinite sform": ([(SROW + 12, "<f", np.inf)], "non-finite affine"),
    "NaN qform": ([(FORM_CODES, "<2h", 1, 0), (QUATERNION, "<f", np.nan)], "affine"),
    "impossible qform": ([(FORM_CODES, "<2h", 1, 0), (QUATERNION, "<3f", 3, 3, 3)], "affine"),
    "infinite intercept": ([(SCALING, "<2f", 1.0, np.inf)], "intercept"),
    "infinite after the slope": ([(SCALING, "<2f", 3e38, 0.0)], "118 of 120 voxels"),
    "voxels inside the header": ([(OFFSET, "<f", 100.0)], "start at byte 100"),
    "voxels before the file": ([(OFFSET, "<f", -1.0)], "start at byte -1"),
    "voxels nowhere": ([(OFFSET, "<f", np.nan)], "start at byte nan"),
    "voxels after the end": ([(OFFSET, "<f", 1e9)], "too small"),
    "no magic": ([(MAGIC, "<i", 0)], "without a NIfTI header"),
    "a header of a pair": ([(MAGIC, "4s", b"ni1\0")], "without a NIfTI header"),
    "another header size": ([(0, "<i", 349)], "without a NIfTI header"),
    "more voxels than bytes": ([(DIM, "<4h", 3, 60, 50, 40)], "too small"),
}


@pytest.mark.parametrize("compressed", [False, True], ids=["nii", "gz"])
@pytest.mark.parametrize("fault", HEADERS)
def test_faulty_headers(tmp_path, good, fault, compressed, capfd, caplog):
    edits, got = HEADERS[fault]
    block = patched(good, *edits)
    path = tmp_path / ("scan.nii.gz" if compressed else "scan.nii")
    path.write_bytes(gzip.compress(block) if compressed else block)
    if fault == "more voxels than bytes" and compressed:
        got = "too small|ends before"
    if fault == "voxels after the end" and compressed:
        got = "too small"
    with caplog.at_level(logging.DEBUG), pytest.raises(ScanError, match=got) as caught:
        read_nifti(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
    ours = threading.get_ident()  # a client of Prefect's from another test may log meanwhile
    assert not [record for record in caplog.records if record.thread == ours]


def test_the_unpatched_file_is_good(tmp_path, good):
    (tmp_path / "scan.nii").write_bytes(good)
    assert read_nifti(tmp_path / "scan.nii").values.shape == (6, 5, 4)
    (tmp_path / "scan.nii").write_bytes(good + bytes(4000))
    assert read_nifti(tmp_path / "scan.nii").values.shape == (6, 5, 4)


def test_missing_path_folder_and_special_file(tmp_path):
    with pytest.raises(ScanError, match="nothing there"):
        read_nifti(tmp_path / "none.nii.gz")
    with pytest.raises(ScanError, match="a folder"):
        read_nifti(tmp_path)
    (tmp_path / "dangling.nii").symlink_to(tmp_path / "none")
    with pytest.raises(ScanError, match="nothing there"):
        read_nifti(tmp_path / "dangling.nii")
    os.mkfifo(tmp_path / "pipe.nii")
    with pytest.raises(ScanError, match="no regular file"):
        read_nifti(tmp_path / "pipe.nii")
    with pytest.raises(ScanError, match="cannot be read"):
        read_nifti(tmp_path / ("x" * 300 + ".nii"))


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "an empty file"),
        (b"n+1", "without a NIfTI header"),
        (b"patient,age\n" * 100, "without a NIfTI header"),
        (gzip.compress(b"junk" * 1000), "without a NIfTI header"),
        (gzip.compress(b""), "an empty file"),
        (b"\x1f\x8b", "damaged gzip"),
        (b"\x1f\x8b" + b"junk" * 100, "damaged gzip"),
    ],
    ids=["empty", "magic alone", "text", "packed text", "packed nothing", "gzip magic alone", "no gzip"],
)
def test_no_nifti(tmp_path, content, got):
    (tmp_path / "a.nii.gz").write_bytes(content)
    with pytest.raises(ScanError, match=got):
        read_nifti(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("n_kept", [1, 200, 348, 400, -1])
def test_truncated(tmp_path, good, n_kept):
    (tmp_path / "a.nii").write_bytes(good[:n_kept])
    with pytest.raises(ScanError, match=r"NIfTI header|too small"):
        read_nifti(tmp_path / "a.nii")
    packed = gzip.compress(good)
    n_packed = max(2, int(len(packed) * (n_kept % len(good)) / len(good)))
    (tmp_path / "a.nii.gz").write_bytes(packed[: min(n_packed, len(packed) - 1)])
    with pytest.raises(ScanError, match="damaged gzip"):
        read_nifti(tmp_path / "a.nii.gz")


def test_truncated_inside_a_whole_gzip_stream(tmp_path, good):
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(good[:-1]))
    with pytest.raises(ScanError, match="ends before its 120 voxels"):
        read_nifti(tmp_path / "a.nii.gz")


def test_gzip_checksum(tmp_path, good):
    packed = bytearray(gzip.compress(good))
    packed[-6] ^= 0xFF
    (tmp_path / "a.nii.gz").write_bytes(packed)
    with pytest.raises(ScanError, match=r"damaged gzip stream .*CRC"):
        read_nifti(tmp_path / "a.nii.gz")


def test_more_data_than_the_header_claims(tmp_path, good):
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(good + bytes(1 << 21)))
    with pytest.raises(ScanError, match="more data"):
        read_nifti(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("compressed", [False, True])
def test_claims_more_than_memory(tmp_path, good, compressed):
    block = patched(good, (DIM, "<4h", 3, 32000, 32000, 32000))
    path = tmp_path / "huge.nii"
    path.write_bytes(gzip.compress(block) if compressed else block)
    before, start = psutil.Process().memory_info().rss, time.monotonic()
    with pytest.raises(ScanError, match=r"32000 x 32000 x 32000 voxels, which needs 131,072\.0 GB of memory"):
        read_nifti(path)
    assert time.monotonic() - start < 1
    assert psutil.Process().memory_info().rss - before < 50e6


def test_claims_more_than_memory_in_a_file_that_is_long_enough(tmp_path, good):
    path = tmp_path / "huge.nii"
    side = int((psutil.virtual_memory().total / 2) ** (1 / 3))
    path.write_bytes(patched(good, (DIM, "<4h", 3, side, side, side)))
    os.truncate(path, 352 + 2 * side**3)  # sparse: no byte of it is stored
    with pytest.raises(ScanError, match="GB of memory"):
        read_nifti(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_not_finite(tmp_path, value):
    values = np.arange(120, dtype=np.float32).reshape(6, 5, 4)
    values[1, 2, 3] = values[5, 4, 3] = value
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii.gz")
    with pytest.raises(ScanError, match="2 of 120 voxels that are NaN or infinite"):
        read_nifti(tmp_path / "a.nii.gz")


def test_voxels_beyond_float32(tmp_path):
    values = np.arange(120, dtype=np.float64).reshape(6, 5, 4)
    values[0, 0, 0] = 1e300
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii.gz")
    with pytest.raises(ScanError, match="1 of 120 voxels"):
        read_nifti(tmp_path / "a.nii.gz")


def test_constant(tmp_path):
    nib.save(nib.Nifti1Image(np.full((6, 5, 4), -1024, np.int16), np.eye(4)), tmp_path / "a.nii.gz")
    with pytest.raises(ScanError, match="every voxel is -1024"):
        read_nifti(tmp_path / "a.nii.gz")
