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


def padding(dataset: Dataset, stored: NDArray[np.integer[Any]], hu: NDArray[np.float64]) -> Mask:
    """Return which pixels of an image are padding ``[rows, columns]``.

    Parameters
    ----------
    dataset : Dataset
        With PixelPaddingValue and PixelPaddingRangeLimit, where they are given.
    stored : ndarray of integers, shape [rows, columns]
        Pixels as they are stored.
    hu : ndarray of float64, shape [rows, columns]
        What they mean.

    Notes
    -----
    The two are of the type of the pixels, but writers take one sign for the other, so that their bits are
    compared. Padding whose value tissue may have is taken only where it reaches the edge of the image.
    """
    ends = [
        _as_stored(dataset[keyword].value, stored.dtype, dataset.original_encoding[1])
        for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")
        if keyword in dataset and dataset[keyword].value not in (None, b"", "")
    ]
    if not ends:
        return np.zeros(stored.shape, np.bool_)
    padded = np.asarray((stored >= min(ends)) & (stored <= max(ends)))
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
