"""The body's frame: trunk, rib cage and spine, which every other structure is placed by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agg2exp_core.phantom.patient import Patient
from agg2exp_core.phantom.shapes import Oval, profile

CAGE = Oval(
    (
        (112, 12, 10, -15),
        (100, 38, 28, -15),
        (86, 55, 40, -14),
        (68, 75, 56, -12),
        (45, 98, 70, -9),
        (0, 119, 86, -6),
        (-60, 130, 94, -4),
        (-120, 135, 98, -3),
        (-210, 131, 98, -3),
    ),
    power=2.3,
)
"""The surface in which the ribs run (height, half width, half depth, centre; mm)."""

MUSCLE = Oval(
    (
        (145, 56, 56, -12),
        (122, 60, 58, -11),
        (102, 84, 68, -10),
        (78, 138, 86, -9),
        (45, 156, 101, -9),
        (0, 150, 108, -8),
        (-60, 147, 113, -8),
        (-120, 149, 114, -8),
        (-210, 146, 112, -8),
    ),
    power=2.4,
)
"""The outer surface of the muscles of the trunk; fat and skin lie on it."""

THORACIC_MM: tuple[float, ...] = (86, 65.5, 44.5, 23, 1, -21.5, -44, -67, -90, -114, -138, -163)
"""Heights of the vertebrae T1 to T12."""

VERTEBRAE_MM: tuple[float, ...] = (142, 124, 106, *THORACIC_MM, -189, -216)
"""Heights of C5 to L2."""


def spine_centre(
    patient: Patient, z: NDArray[np.floating]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return x and y of the middle of the vertebral bodies at height `z`."""
    sway = np.float32(patient.scoliosis_mm) * np.sin(np.asarray(z, np.float32) / np.float32(55.0))
    straight = -57.0
    knots = ((145, -40), (88, -47), (45, -56), (0, -62), (-60, -66), (-120, -65), (-210, -58))
    bent = [(height, straight + patient.kyphosis * (y - straight)) for height, y in knots]
    return sway, profile(z, bent)


def body_radii(z: NDArray[np.floating]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return half width and half depth of the vertebral bodies at height `z`."""
    return (
        profile(z, ((145, 13), (88, 15), (0, 16), (-120, 19), (-210, 22))),
        profile(z, ((145, 9), (88, 10), (0, 14), (-120, 16), (-210, 17))),
    )
