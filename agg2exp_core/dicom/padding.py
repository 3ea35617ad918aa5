"""Padding: pixels that a scanner lays around its field of view, which are no image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from scipy import ndimage

from agg2exp_core.types import Mask

AIR_HU = -1024.0
"""What padding is read as, unless it is darker anyway."""
DARKEST_TISSUE_HU, BRIGHTEST_TISSUE_HU = -900.0, 3071.0
"""Between them a voxel of the patient may have the value of the padding too."""


def padding_range(dataset: Dataset, dtype: np.dtype[Any]) -> tuple[int, int] | None:
    """Return the least and the largest stored value that is padding, or None where nothing is said of it.

    Parameters
    ----------
    dataset : Dataset
        With PixelPaddingValue and PixelPaddingRangeLimit, where they are given.
    dtype : numpy.dtype
        Of the pixels as they are stored. Writers take one sign for the other, so that bits are compared.
    """
    ends = [
        _as_stored(dataset[keyword].value, dtype, dataset.original_encoding[1])
        for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")
        if keyword in dataset and dataset[keyword].value not in (None, b"", "")
    ]
    return (min(ends), max(ends)) if ends else None


def padding(stored: NDArray[np.integer[Any]], hu: NDArray[np.float64], limits: tuple[int, int]) -> Mask:
    """Return which pixels of an image are padding ``[rows, columns]``.

    Parameters
    ----------
    stored : ndarray of integers, shape [rows, columns]
        Pixels as they are stored.
    hu : ndarray of float64, shape [rows, columns]
        What they mean.
    limits : tuple of int
        The least and the largest stored value of padding.

    Notes
    -----
    Padding whose value tissue may have is taken only where it reaches the edge of the image.
    """
    padded = np.asarray((stored >= limits[0]) & (stored <= limits[1]))
    values = hu[padded]
    if not values.size or values.max() <= DARKEST_TISSUE_HU or values.min() > BRIGHTEST_TISSUE_HU:
        return padded
    parts, _ = ndimage.label(padded)
    edge = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    return np.asarray(padded & np.isin(parts, np.unique(edge[edge > 0])))


def _as_stored(value: Any, dtype: np.dtype[Any], is_little_endian: bool | None) -> int:
    """Return a value as a pixel of a type holds its bits."""
    if isinstance(value, bytes):  # implicit types leave open which sign it has
        value = int.from_bytes(value, "big" if is_little_endian is False else "little")
    n_bits = 8 * dtype.itemsize
    bits = int(value) % (1 << n_bits)
    return bits - (1 << n_bits) if dtype.kind == "i" and bits >= 1 << (n_bits - 1) else bits
