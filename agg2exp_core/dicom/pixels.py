"""The voxels of a stack, in Hounsfield units."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.utils import pixel_array
from pydicom.uid import RLELossless

from agg2exp_core.dicom.fileio import open_dicom
from agg2exp_core.dicom.headers import Header
from agg2exp_core.dicom.padding import AIR_HU, DARKEST_TISSUE_HU, padding, padding_range
from agg2exp_core.dicom.stack import Stack
from agg2exp_core.errors import ScanError

HounsfieldVolume = NDArray[np.int16] | NDArray[np.float32]

MOST_TILES = 4096
"""Of a JPEG 2000 image; a decoder makes room for each."""
SOC_SIZ = b"\xff\x4f\xff\x51"
"""The two markers with which a JPEG 2000 codestream begins (ITU-T T.800, A.4 and A.5)."""
SOI = b"\xff\xd8"
_FRAME_MARKERS = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC} | {0xF7})
"""Start of a frame in JPEG (ITU-T T.81, B.1.1.3) and in JPEG-LS (T.87)."""

_PIXEL_KEYWORDS = (
    *("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "NumberOfFrames"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"),
    *("PixelPaddingValue", "PixelPaddingRangeLimit"),
)
_INT16 = np.iinfo(np.int16)


def read_hu(stack: Stack) -> tuple[HounsfieldVolume, int]:
    """Read the voxels of a stack, each slice with its own rescale slope and intercept, its padding as air.

    Parameters
    ----------
    stack : Stack
        Slices in order.

    Returns
    -------
    values : ndarray of int16 or float32, shape [X, Y, Z]
        Hounsfield units; int16 where every voxel is a whole number that it holds.
    n_padded : int
        Voxels of padding that would have been brighter than air.

    Raises
    ------
    ScanError
        If a slice cannot be decoded, or holds other pixels than its header says.
    """
    # whole slopes of whole voxels stay whole: half the memory of float32
    whole = all(_is_whole(header.slope) and _is_whole(header.intercept) for header in stack.headers)
    volume: Any = np.empty(stack.grid.shape, np.int16 if whole else np.float32, order="F")
    n_padded = 0
    for z, header in enumerate(stack.headers):
        assert header.slope is not None
        assert header.intercept is not None
        stored, limits = _stored(header)
        # scanners may give each slice a slope of its own
        values = stored.astype(np.float64) * header.slope + header.intercept  # [rows, columns]
        if limits is not None:
            padded = padding(stored, values, limits)
            n_padded += int(np.count_nonzero(values[padded] > DARKEST_TISSUE_HU))
            values[padded] = np.minimum(values[padded], AIR_HU)
        if volume.dtype == np.int16 and (values.min() < _INT16.min or values.max() > _INT16.max):
            volume = volume.astype(np.float32, order="F")
        volume[:, :, z] = values.T  # rows run down the picture, and are the second axis here
    read: HounsfieldVolume = volume
    return read, n_padded


def _stored(header: Header) -> tuple[NDArray[np.integer[Any]], tuple[int, int] | None]:
    """Return the pixels ``[rows, columns]`` as they are stored, and which values are padding."""
    with open_dicom(header.path) as stream:
        dataset = dcmread(stream, specific_tags=list(_PIXEL_KEYWORDS), force=True)
        dataset.file_meta.TransferSyntaxUID = header.transfer_syntax  # of a file that does not say so
        _check_claims(header, dataset)
        stored = pixel_array(dataset, raw=True)
        if stored.shape != (header.rows, header.columns) or stored.dtype.kind not in "iu":
            raise _damaged(header.path, f"{list(stored.shape)} pixels of {stored.dtype}")
        return stored, padding_range(dataset, stored.dtype)


def _check_claims(header: Header, dataset: Dataset) -> None:
    """Refuse pixels that are not what the header says, before room is made for them."""
    pixels: bytes = dataset.PixelData
    syntax = header.transfer_syntax
    if not syntax.is_compressed:
        n_bytes = header.rows * header.columns * header.bits // 8
        if n_bytes > len(pixels):
            raise _damaged(header.path, f"{len(pixels)} bytes of pixels in place of {n_bytes}")
    elif syntax != RLELossless:
        image = declared(get_frame(pixels, 0, number_of_frames=1))
        if image is None or image[:3] != (header.rows, header.columns, 1) or image.n_tiles > MOST_TILES:
            said = "nothing" if image is None else "{} x {} pixels of {} values in {} tiles".format(*image)
            raise _damaged(header.path, f"a compressed image that declares {said}")


class Declared(NamedTuple):
    """Size of an image, and the parts that it is cut into."""

    rows: int
    columns: int
    n_components: int
    n_tiles: int


def declared(frame: bytes) -> Declared | None:
    """Return what a JPEG, JPEG-LS or JPEG 2000 image declares, or None where it declares nothing."""
    try:
        if frame.startswith(SOC_SIZ):
            return _of_jpeg_2000(frame)
        return _of_jpeg(frame) if frame.startswith(SOI) else None
    except struct.error:
        return None


def _of_jpeg_2000(frame: bytes) -> Declared | None:
    x, y, x0, y0, tile_x, tile_y, tile_x0, tile_y0, n_components = struct.unpack_from(">8IH", frame, 8)
    if not (tile_x and tile_y):
        return None
    n_tiles = -((tile_x0 - x) // tile_x) * -((tile_y0 - y) // tile_y)
    return Declared(y - y0, x - x0, n_components, n_tiles)


def _of_jpeg(frame: bytes) -> Declared | None:
    at = len(SOI)
    while True:
        fill, marker, length = struct.unpack_from(">BBH", frame, at)
        if fill != 0xFF:
            return None
        if marker in _FRAME_MARKERS:
            rows, columns, n_components = struct.unpack_from(">HHB", frame, at + 5)
            return Declared(rows, columns, n_components, 1)
        at += 2 + length


def _is_whole(number: float | None) -> bool:
    return number is not None and number.is_integer()


def _damaged(path: Path, got: str) -> ScanError:
    return ScanError(
        path, got=got, allowed="the pixels that its header says", remedy="copy or export the file again"
    )
