"""What compressed images say of their own size."""

import struct
from pathlib import Path

import pydicom
import pytest
from pydicom.encaps import get_frame
from pydicom.uid import JPEG2000Lossless

from agg2exp_core.dicom.fileio import quiet
from agg2exp_core.dicom.pixels import Declared, declared
from agg2exp_core.errors import ScanError
from agg2exp_core.volumes import read_volume

from .making import stored_values, write_series

TEST_FILES = Path(pydicom.__file__).parent / "data" / "test_files"


def frame_of(name: str) -> tuple[pydicom.Dataset, bytes]:
    with quiet():
        dataset = pydicom.dcmread(TEST_FILES / name)
    return dataset, get_frame(dataset.PixelData, 0, number_of_frames=1)


@pytest.mark.parametrize(
    "name",
    ["JPGExtended", "JPEG2000", "JPEGLSNearLossless_16", "MR_small_jp2klossless", "SC_rgb_jpeg_dcmtk"],
)
def test_it_is_what_the_header_says(name):
    dataset, frame = frame_of(f"{name}.dcm")
    assert declared(frame) == Declared(dataset.Rows, dataset.Columns, dataset.SamplesPerPixel, 1)


def test_nothing():
    for frame in (
        b"",
        b"\xff",
        b"\xff\xd8",
        b"\xff\xd8\xff\xe0\0\2",
        b"\xff\xd8\0\0\0\0",
        b"\xff\x4f\xff\x51\0",
    ):
        assert declared(frame) is None
    _, frame = frame_of("MR_small_jp2klossless.dcm")
    assert declared(frame[:24] + b"\0" * 8 + frame[32:]) is None


def test_tiles():
    _, frame = frame_of("MR_small_jp2klossless.dcm")
    assert declared(frame[:24] + struct.pack(">2I", 5, 64) + frame[32:]).n_tiles == 13
    assert declared(frame[:24] + struct.pack(">2I", 1, 1) + frame[32:]).n_tiles == 64 * 64


@pytest.mark.parametrize(
    ("offset", "value", "said"),
    [(8, 60000, "36 x 60000 pixels"), (12, 9, "9 x 34 pixels"), (28, 0, "nothing")],
)
def test_images_that_are_not_what_the_header_says(offset, value, said, tmp_path):
    """Offsets of T.800 A.5.1: Xsiz, Ysiz, YTsiz."""

    def change(z, dataset):
        dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
        content = bytearray(dataset.PixelData)
        start = content.index(b"\xff\x4f\xff\x51") + offset
        content[start : start + 4] = struct.pack(">I", value)
        dataset.PixelData = bytes(content)

    with pytest.raises(ScanError, match=f"declares {said}"):
        read_volume(write_series(tmp_path, stored_values(16, 36, 34), change))
