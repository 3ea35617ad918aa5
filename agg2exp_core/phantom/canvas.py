"""Paint shapes into Hounsfield units and labels, with partial volume."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agg2exp_core.labels import THORAX_CLASSES
from agg2exp_core.phantom.shapes import Field, Space

AIR_HU = -1000.0


class Canvas:
    """A scan in the making: later paint covers earlier paint.

    Parameters
    ----------
    space : Space
        The voxels.

    Attributes
    ----------
    hu : ndarray of float32, shape [X, Y, Z]
        Air at first.
    labels : ndarray of uint8, shape [X, Y, Z]
        Index into `THORAX_CLASSES`; background at first.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.hu = np.full(space.shape, AIR_HU, np.float32)
        self.labels: NDArray[np.uint8] = np.zeros(space.shape, np.uint8)

    def paint(self, shape: Field, hu: float | Field, name: str | None = None) -> None:
        """Cover the inside of `shape`; a voxel that its surface cuts keeps a share of what was there.

        Parameters
        ----------
        shape : ndarray of float32, shape [X, Y, Z]
            Signed distance in mm.
        hu : float or ndarray, shape [X, Y, Z]
            What it is made of.
        name : str, optional
            The class of its voxels; without one they keep theirs.
        """
        near = np.flatnonzero(shape.ravel() < self.space.spacing_mm / 2)
        distance = shape.ravel()[near]
        share = np.clip(0.5 - distance / np.float32(self.space.spacing_mm), 0, 1)
        values = hu.ravel()[near] if isinstance(hu, np.ndarray) else np.float32(hu)
        flat = self.hu.reshape(-1)
        flat[near] += share * (values - flat[near])
        if name is not None:
            self.labels.reshape(-1)[near[distance < 0]] = THORAX_CLASSES.index(name)


def texture(space: Space, rng: np.random.Generator, wavelength_mm: float, n_waves: int = 10) -> Field:
    """Return a smooth random field of unit variance, the same at any spacing: a sum of plane waves."""
    result = np.zeros(space.shape, np.float32)
    for _ in range(n_waves):
        direction = rng.normal(size=3)
        direction *= 2 * np.pi / (wavelength_mm * np.linalg.norm(direction) * rng.uniform(0.7, 1.4))
        kx, ky, kz = direction.astype(np.float32)
        result += np.cos(kx * space.x + ky * space.y + kz * space.z + np.float32(rng.uniform(0, 2 * np.pi)))
    return result * np.float32(np.sqrt(2 / n_waves))
