"""A phantom, and what is special about it: pathologies, and the failure that is planted in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agg2exp_core.errors import out_of_range, unknown_name
from agg2exp_core.labels import THORAX_CLASSES
from agg2exp_core.phantom.patient import Patient
from agg2exp_core.types import Grid

PATHOLOGIES = ("pleural_effusion", "consolidation")
"""What a patient may have; each comes with its mask."""

PORT = "port"
"""Name of the port's mask."""

FAILURES = (
    "noise",
    "motion",
    "metal",
    "cut_field_of_view",
    "wrong_spacing",
    "shifted_hu",
    "collapsed_lobe",
)
"""What may be wrong with a scan, or keep a model from handling it."""


@dataclass(frozen=True, eq=False)
class Phantom:
    """A synthetic thorax CT and the truth about it.

    Parameters
    ----------
    hu : ndarray of int16, shape [X, Y, Z]
        Hounsfield units.
    labels : ndarray of uint8, shape [X, Y, Z]
        Index into `agg2exp_core.labels.THORAX_CLASSES`.
    grid : Grid
        Of both; the axes point right, front and up (RAS).
    metadata : mapping
        Age, sex and the like, JSON-ready.
    pathologies : mapping
        Masks ``[X, Y, Z]`` by name.
    """

    hu: NDArray[np.int16]
    labels: NDArray[np.uint8]
    grid: Grid
    metadata: Mapping[str, Any]
    pathologies: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)


@dataclass(frozen=True)
class PhantomCase:
    """A patient and a scan out of the ordinary; severities lie above 0 and go up to 1.

    Parameters
    ----------
    pathologies : mapping
        Severity by name, of `PATHOLOGIES`.
    failure : str, optional
        One of `FAILURES`.
    severity : float
        Of the failure.
    age : int, optional
        Years, 20 to 95; else that of the seed's patient.
    sex : {"F", "M"}, optional
        Else that of the seed's patient.
    port : bool
        Whether there is a port of metal under the skin: see `agg2exp_core.phantom.shortcut`.
    unlabelled : str, optional
        A structure that the labels leave out.

    Raises
    ------
    UsageError
        If a name is unknown or a number out of range.
    """

    pathologies: Mapping[str, float] = field(default_factory=dict)
    failure: str | None = None
    severity: float = 1.0
    age: int | None = None
    sex: str | None = None
    port: bool = False
    unlabelled: str | None = None

    def __post_init__(self) -> None:
        for name in self.pathologies:
            if name not in PATHOLOGIES:
                raise unknown_name("pathology", name, PATHOLOGIES)
        if self.failure not in (None, *FAILURES):
            raise unknown_name("failure", self.failure, FAILURES)
        for name, severity in {**self.pathologies, "severity": self.severity}.items():
            if not 0 < severity <= 1:
                raise out_of_range(name, severity, "more than 0, up to 1")
        if self.age is not None and not 20 <= self.age <= 95:
            raise out_of_range("age", self.age, "20 to 95")
        if self.unlabelled is not None and self.unlabelled not in THORAX_CLASSES[1:]:
            raise unknown_name("unlabelled", self.unlabelled, THORAX_CLASSES[1:])
        if self.sex not in (None, "F", "M"):
            raise unknown_name("sex", self.sex, ("F", "M"))

    def shape(self, patient: Patient) -> Patient:
        """Return the patient with the body of the case.

        Beyond what `sample_patient` draws, age bends the spine and shortens the trunk from 50 on, rarefies
        the lungs and, in women faster, the bones, and widens heart and aorta; women are smaller and have
        more subcutaneous fat than men.
        """
        age = patient.age if self.age is None else self.age
        sex = patient.sex if self.sex is None else self.sex
        years, beyond_50 = age - patient.age, max(0, age - 50)
        size = {("M", "F"): 0.955, ("F", "M"): 1 / 0.955}.get((patient.sex, sex), 1.0)
        width, depth, height = (size * part for part in patient.scale)
        return replace(
            patient,
            age=age,
            sex=sex,
            scale=(width, depth, height * (1 - 0.0006 * beyond_50)),
            fat_mm=patient.fat_mm + (2 if sex == "F" else -1),
            kyphosis=patient.kyphosis + 0.008 * beyond_50,
            bone=patient.bone - 0.004 * years - (0.003 * beyond_50 if sex == "F" else 0),
            lung_hu=max(-900.0, patient.lung_hu - 0.6 * beyond_50),
            heart_scale=patient.heart_scale + 0.001 * years,
            aorta_radius=patient.aorta_radius + 0.03 * years,
        )
