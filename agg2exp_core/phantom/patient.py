"""Who is scanned: everything that varies from one phantom to the next, drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Patient:
    """The body and the acquisition of one phantom.

    Lengths are mm of the reference patient, before `scale`; HU are Hounsfield units.

    Parameters
    ----------
    age : int
        Years.
    sex : {"F", "M"}
        Sets size, fat and breasts.
    scale : tuple of float
        Width, depth and height relative to the reference patient.
    fat_mm : float
        Subcutaneous fat.
    inspiration_mm : float
        How far the diaphragm stands below (above, if negative) its middle position.
    heart_scale : float
        Of the heart's diameters.
    heart_shift, arch_shift, carina_shift : tuple of float
        Displacements of heart, aortic arch and carina.
    aorta_radius : float
        Of the ascending aorta; the rest tapers from it.
    fissures : tuple of float
        Shift of the left oblique, right oblique and horizontal fissure.
    fissure_slope : float
        Relative slope of the oblique fissures.
    scoliosis_mm, kyphosis : float
        Sideways sway of the spine, and its relative bend.
    rib_drop : float
        Relative descent of the ribs from back to front.
    blood_hu : float
        Of opacified blood: 45 without contrast medium.
    bone : float
        Relative density of bone; falls with age.
    lung_hu : float
        Mean of the lungs.
    noise_hu : float
        Standard deviation of the noise at 4 mm voxels.
    rotation_deg, shift_mm : tuple of float
        Of the body in the scanner, about and along the world's axes.
    margin_mm : tuple of float
        Air around the body in the field of view, at both sides, and at front and back.
    table : bool
        Whether the table is in the picture.
    """

    age: int
    sex: str
    scale: tuple[float, float, float]
    fat_mm: float
    inspiration_mm: float
    heart_scale: float
    heart_shift: tuple[float, float, float]
    arch_shift: tuple[float, float, float]
    carina_shift: tuple[float, float, float]
    aorta_radius: float
    fissures: tuple[float, float, float]
    fissure_slope: float
    scoliosis_mm: float
    kyphosis: float
    rib_drop: float
    blood_hu: float
    bone: float
    lung_hu: float
    noise_hu: float
    rotation_deg: tuple[float, float, float]
    shift_mm: tuple[float, float, float]
    margin_mm: tuple[float, float]
    table: bool

    @property
    def contrast(self) -> bool:
        """Whether contrast medium was given."""
        return self.blood_hu > 60

    def metadata(self) -> dict[str, Any]:
        """Return what a scanner's record would say, JSON-ready."""
        return {
            "age": self.age,
            "sex": self.sex,
            "contrast": self.contrast,
            "table": self.table,
            "noise_hu": round(self.noise_hu, 1),
        }


def _three(values: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return x, y, z


def sample_patient(rng: np.random.Generator) -> Patient:
    """Draw a patient; every call with an equal generator gives an equal patient."""

    def between(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    def normal(sd: float, n: int = 3) -> NDArray[np.float64]:
        return np.clip(rng.normal(0, sd, n), -2 * sd, 2 * sd)

    sex = str(rng.choice(["F", "M"]))
    age = int(np.clip(rng.normal(60, 15), 20, 90))
    size = (0.955 if sex == "F" else 1.0) + float(normal(0.015, 1)[0])
    contrast = bool(rng.random() < 0.65)
    return Patient(
        age=age,
        sex=sex,
        scale=_three(size + normal(0.012)),
        fat_mm=between(6, 16),
        inspiration_mm=between(-14, 14),
        heart_scale=between(0.94, 1.1) + 0.001 * (age - 60),
        heart_shift=_three(normal(3)),
        arch_shift=_three(normal(3)),
        carina_shift=_three(normal(2)),
        aorta_radius=between(14, 17) + 0.03 * (age - 60),
        fissures=_three(normal(4)),
        fissure_slope=between(0.92, 1.08),
        scoliosis_mm=between(-4, 4),
        kyphosis=between(0.8, 1.2),
        rib_drop=between(0.9, 1.1),
        blood_hu=between(130, 280) if contrast else 45.0,
        bone=between(0.85, 1.15) - 0.004 * (age - 60),
        lung_hu=between(-875, -820),
        noise_hu=between(8, 18),
        rotation_deg=_three(normal(2)),
        shift_mm=_three(normal(5)),
        margin_mm=(between(6, 14), between(3, 10)),
        table=bool(rng.random() < 0.6),
    )
