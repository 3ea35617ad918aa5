"""Noise that is a pure function of its address.

Philox is a counter-based generator: the key is the address, the counter the voxel. Any task that
computes any class or any window of a scan sees the same noise, on any machine, in any order.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def random_bits(n: int, *address: object) -> NDArray[np.uint64]:
    """Return `n` words of 64 random bits for an address (Philox-4x64, Salmon et al. 2011)."""
    digest = hashlib.sha256(repr(address).encode()).digest()
    return np.random.Philox(key=np.frombuffer(digest[:16], np.uint64)).random_raw(n)


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
    n = math.prod(shape)
    bits = random_bits((n + 1) // 2, *address)
    halves = bits.view(np.uint32).reshape(-1, 2)  # [n / 2, 2]
    uniform = (halves.astype(np.float64) + 0.5) * 2.0**-32  # strictly inside (0, 1)
    radius = np.sqrt(-2 * np.log(uniform[:, 0]))
    angle = 2 * np.pi * uniform[:, 1]
    normal = np.empty((len(bits), 2), np.float32)
    normal[:, 0] = radius * np.cos(angle)
    normal[:, 1] = radius * np.sin(angle)
    return normal.ravel()[:n].reshape(shape)
