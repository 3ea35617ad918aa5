"""The voxels of a stack, in Hounsfield units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels.utils import pixel_array

from agg2exp_core.dicom.bounded import BoundedReader
from agg2exp_core.dicom.headers import Header, parsing
from agg2exp_core.dicom.stack import Stack
from agg2exp_core.errors import ScanError

HounsfieldVolume = NDArray[np.int16] | NDArray[np.float32]

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
        _check_length(header)
        stored = pixel_array(stream, raw=True)
        if stored.shape != (header.rows, header.columns) or stored.dtype.kind not in "iu":
            raise _damaged(header.path, f"{list(stored.shape)} pixels of {stored.dtype}")
        return stored


def _check_length(header: Header) -> None:
    """Refuse a header that claims more pixels than the file can hold, before room is made for them."""
    n_bytes = header.rows * header.columns * header.bits // 8
    if not header.transfer_syntax.is_compressed and n_bytes > header.n_bytes:
        raise _damaged(header.path, f"{n_bytes} bytes of pixels in a file of {header.n_bytes}")


def _is_whole(number: float | None) -> bool:
    return number is not None and number.is_integer()


def _damaged(path: Path, got: str) -> ScanError:
    return ScanError(
        path, got=got, allowed="the pixels that its header says", remedy="copy or export the file again"
    )
