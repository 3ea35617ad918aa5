"""Random numbers that are a pure function of their address.

Philox is a counter-based generator: the key is the address, the counter the voxel. Any task that
computes any class or any window of a scan sees the same noise, on any machine, in any order.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_WORDS_PER_COUNT = 4
"""Words of 64 bits that Philox-4x64 makes of one value of its counter."""


def generator(*address: object) -> np.random.Generator:
    """Return the generator of an address (Philox-4x64, Salmon et al. 2011), told apart by `repr`."""
    return np.random.Generator(_philox(address))


def _philox(address: tuple[object, ...], first_count: int = 0) -> np.random.Philox:
    digest = hashlib.sha256(repr(address).encode()).digest()
    return np.random.Philox(key=np.frombuffer(digest[:16], np.uint64), counter=first_count)


def random_bits(n: int, *address: object, first_count: int = 0) -> NDArray[np.uint64]:
    """Return `n` words of 64 random bits for an address.

    Parameters
    ----------
    n : int
        How many.
    *address : object
        Everything that they depend on; told apart by `repr`.
    first_count : int
        Where to begin: four words belong to each value of the counter.
    """
    return _philox(address, first_count).random_raw(n)


def standard_normal(shape: Sequence[int], *address: object) -> NDArray[np.float32]:
    """Return standard normal noise for an address such as ``(seed, scan_id, sample)``.

    Parameters
    ----------
    shape : sequence of int
        Shape of the result; a voxel's noise follows from its flat C-order index.
    *address : object
        Everything that the noise depends on; told apart by `repr`.

    Returns
    -------
    ndarray of float32
        Box-Muller transform of `random_bits`.
    """
    return _flat_normal(0, math.prod(shape), address).reshape(shape)


def normal_planes(shape: Sequence[int], planes: slice, *address: object) -> NDArray[np.float32]:
    """Return planes of the noise of a whole scan, bit for bit, without making the rest.

    Parameters
    ----------
    shape : sequence of int
        ``(C, X, Y, Z)`` of the scan.
    planes : slice
        Which planes of X.
    *address : object
        As for `standard_normal`.

    Returns
    -------
    ndarray of float32, shape [C, n, Y, Z]
        ``standard_normal(shape, *address)[:, planes]``.
    """
    C, X, Y, Z = shape
    noise = np.empty((C, planes.stop - planes.start, Y, Z), np.float32)
    for c, i in np.ndindex(noise.shape[:2]):
        start = (c * X + planes.start + i) * Y * Z
        noise[c, i] = _flat_normal(start, start + Y * Z, address).reshape(Y, Z)
    return noise


def _flat_normal(start: int, stop: int, address: tuple[object, ...]) -> NDArray[np.float32]:
    """Return the noise of flat indices ``[stop - start]``; two of them share a word."""
    first_count = start // (2 * _WORDS_PER_COUNT)
    skipped = start - first_count * 2 * _WORDS_PER_COUNT
    n_words = (skipped + stop - start + 1) // 2
    bits = random_bits(n_words, *address, first_count=first_count)
    halves = bits.view(np.uint32).reshape(-1, 2)  # [n_words, 2]
    uniform = (halves.astype(np.float64) + 0.5) * 2.0**-32  # strictly inside (0, 1)
    radius = np.sqrt(-2 * np.log(uniform[:, 0]))
    angle = 2 * np.pi * uniform[:, 1]
    normal = np.empty((len(bits), 2), np.float32)
    normal[:, 0] = radius * np.cos(angle)
    normal[:, 1] = radius * np.sin(angle)
    return normal.ravel()[skipped : skipped + stop - start]
