"""Copies of a slice: files at one position that hold the same image, such as those that were sent twice."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread

from agg2exp_core.dicom.fileio import open_dicom
from agg2exp_core.dicom.headers import Header


def without_copies(headers: Sequence[Header], positions: NDArray[np.float64]) -> list[int]:
    """Return the indices of the headers that stay when each copy of an image is left out.

    Parameters
    ----------
    headers : sequence of Header
        Slices of one series.
    positions : ndarray of float64, shape [slices, 3]
        Their positions. The pixels are read only where two slices share one.
    """
    by_place: dict[tuple[float, ...], list[int]] = {}
    for i, position in enumerate(positions):
        by_place.setdefault(tuple(float(mm) for mm in position), []).append(i)
    kept = []
    for members in by_place.values():
        seen: set[bytes] = set()
        for i in members:
            image = _image_digest(headers[i]) if len(members) > 1 else b""
            if image not in seen:
                kept.append(i)
            seen.add(image)
    return sorted(kept)


def _image_digest(header: Header) -> bytes:
    """Return a digest of the pixels as they are coded, and of what they mean."""
    with open_dicom(header.path) as stream:
        dataset = dcmread(stream, specific_tags=["PixelData"], force=True)
        digest = hashlib.sha256(dataset.PixelData)
    meaning = (header.slope, header.intercept, header.spacing_mm, header.orientation, header.rows)
    digest.update(repr((*meaning, header.transfer_syntax)).encode())
    return digest.digest()
