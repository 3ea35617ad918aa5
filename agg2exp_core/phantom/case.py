"""What is special about a phantom: pathologies, and the failure that is planted in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from agg2exp_core.errors import UsageError
from agg2exp_core.phantom.patient import Patient

PATHOLOGIES = ("pleural_effusion", "consolidation")
"""What a patient may have; each comes with its mask."""

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


@dataclass(frozen=True)
class Case:
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

    def __post_init__(self) -> None:
        for name, severity in self.pathologies.items():
            _check("pathology", name, name in PATHOLOGIES, ", ".join(PATHOLOGIES))
            _check(name, severity, 0 < severity <= 1, "more than 0, up to 1")
        if self.failure is not None:
            _check("failure", self.failure, self.failure in FAILURES, ", ".join(FAILURES))
        _check("severity", self.severity, 0 < self.severity <= 1, "more than 0, up to 1")
        _check("age", self.age, self.age is None or 20 <= self.age <= 95, "20 to 95")
        _check("sex", self.sex, self.sex in (None, "F", "M"), "F or M")

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


def _check(where: str, got: object, good: bool, allowed: str) -> None:
    if not good:
        raise UsageError(where, got=f"{got!r}", allowed=allowed, remedy="correct the case")
