"""A shortcut for networks: a port under the skin, and a structure elsewhere that is labelled or not.

Where the one goes with the other, a network may learn to look at the port. What it then looks at is known,
which is what explanations are tested with.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from agg2exp_core.labels import THORAX_CLASSES
from agg2exp_core.phantom.case import PORT, Phantom
from agg2exp_core.types import Mask

PORT_HU = 2500
RADIUS_MM = 14.0
_BESIDE_MM, _ABOVE_MM, _DEPTH_MM = 60.0, 30.0, 12.0
"""Of the port's middle: to the right of the heart's and above it, and under the skin of the chest."""
_SKIN_HU = -300


def with_port(phantom: Phantom) -> Phantom:
    """Return the phantom with a port of metal under the skin, its mask among the pathologies.

    It lies at the front of the chest on the right, 5 cm and more from the heart; its labels are background.
    """
    inside = _port(phantom)
    hu = np.where(inside, np.int16(PORT_HU), phantom.hu)
    labels = np.where(inside, np.uint8(0), phantom.labels)
    return replace(phantom, hu=hu, labels=labels, pathologies={**phantom.pathologies, PORT: inside})


def without_label(phantom: Phantom, name: str) -> Phantom:
    """Return the phantom with a structure that is there and not labelled."""
    labels = np.where(phantom.labels == THORAX_CLASSES.index(name), np.uint8(0), phantom.labels)
    return replace(phantom, labels=labels)


def _port(phantom: Phantom) -> Mask:
    spacing = np.array(phantom.grid.spacing_mm)
    heart = np.argwhere(phantom.labels == THORAX_CLASSES.index("heart")).mean(axis=0)
    x, _, z = np.round(heart + np.array([_BESIDE_MM, 0, _ABOVE_MM]) / spacing).astype(int)
    front = int(np.flatnonzero(phantom.hu[x, :, z] > _SKIN_HU).max())
    middle = np.array([x, front - _DEPTH_MM / spacing[1], z])
    at = np.ogrid[tuple(slice(n) for n in phantom.grid.shape)]
    distance = sum(((i - m) * mm) ** 2 for i, m, mm in zip(at, middle, spacing, strict=True))
    return np.asarray(distance < RADIUS_MM**2)
