"""The voxels of a stack, in Hounsfield units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.utils import pixel_array
from pydicom.uid import RLELossless

from agg2exp_core.dicom.bounded import BoundedReader
from agg2exp_core.dicom.codestream import declared
from agg2exp_core.dicom.headers import Header, parsing
from agg2exp_core.dicom.stack import Stack
from agg2exp_core.errors import ScanError

HounsfieldVolume = NDArray[np.int16] | NDArray[np.float32]

MOST_TILES = 4096
"""Of a JPEG 2000 image; a decoder makes room for each."""

_PIXEL_KEYWORDS = (
    *("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "NumberOfFrames"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"),
)
_INT16 = np.iinfo(np.int16)


def read_hu(stack: Stack) -> HounsfieldVolume:
    """Read the voxels of a stack, each slice with its own rescale slope and intercept.

    Parameters
    ----------
    stack : Stack
        Slices in order.

    Returns
    -------
    ndarray of int16 or float32, shape [X, Y, Z]
        Hounsfield units; int16 where every voxel is a whole number that it holds.

    Raises
    ------
    ScanError
        If a slice cannot be decoded, or holds other pixels than its header says.
    """
    whole = all(_is_whole(header.slope) and _is_whole(header.intercept) for header in stack.headers)
    volume: Any = np.empty(stack.grid.shape, np.int16 if whole else np.float32, order="F")
    for z, header in enumerate(stack.headers):
        assert header.slope is not None
        assert header.intercept is not None
        values = _stored(header).astype(np.float64) * header.slope + header.intercept  # [rows, columns]
        if volume.dtype == np.int16 and (values.min() < _INT16.min or values.max() > _INT16.max):
            volume = volume.astype(np.float32, order="F")
        volume[:, :, z] = values.T
    read: HounsfieldVolume = volume
    return read


def _stored(header: Header) -> NDArray[np.integer[Any]]:
    with parsing(header.path), BoundedReader(header.path) as stream:
        dataset = dcmread(stream, specific_tags=list(_PIXEL_KEYWORDS))
        _check_claims(header, dataset)
        stored = pixel_array(dataset, raw=True)
        if stored.shape != (header.rows, header.columns) or stored.dtype.kind not in "iu":
            raise _damaged(header.path, f"{list(stored.shape)} pixels of {stored.dtype}")
        return stored


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


def _is_whole(number: float | None) -> bool:
    return number is not None and number.is_integer()


def _damaged(path: Path, got: str) -> ScanError:
    return ScanError(
        path, got=got, allowed="the pixels that its header says", remedy="copy or export the file again"
    )
