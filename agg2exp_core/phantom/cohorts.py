"""Named cohorts of phantoms, reproducible from a seed, as a tree like TotalSegmentator's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from agg2exp_core.errors import UsageError
from agg2exp_core.labels import THORAX_CLASSES
from agg2exp_core.phantom.case import FAILURES, PATHOLOGIES, Case
from agg2exp_core.phantom.render import make_phantom
from agg2exp_core.volumes import write_nifti

SEVERITIES = (0.25, 0.5, 0.75, 1.0)
SEEDS_PER_COHORT = 10_000


@dataclass(frozen=True)
class Cohort:
    """How often its patients are ill and its scans fail.

    Parameters
    ----------
    n : int
        Scans, unless another number is asked for.
    ill, failing : float
        Probability of one pathology, and of a planted failure.
    series : bool
        Each patient is scanned well first, then with every failure at every severity.
    """

    n: int
    ill: float = 0.0
    failing: float = 0.0
    series: bool = False


COHORTS: dict[str, Cohort] = {
    "training": Cohort(48),
    "reference": Cohort(40, ill=0.1),
    "test": Cohort(32),
    "hospital": Cohort(40, ill=0.3, failing=0.25),
    "failures": Cohort(1 + len(FAILURES) * len(SEVERITIES), series=True),
}
"""The cohorts by name; no two share a patient."""


@dataclass(frozen=True)
class Member:
    """A scan of a cohort: ``make_phantom(seed, case=case)``."""

    scan_id: str
    seed: int
    case: Case


def members(name: str, n: int | None = None, seed: int = 0) -> list[Member]:
    """Return who belongs to a cohort; a longer one begins with the shorter one.

    Raises
    ------
    UsageError
        If there is no such cohort, or a number is out of range.
    """
    if name not in COHORTS:
        raise UsageError("cohort", got=f"{name!r}", allowed=", ".join(COHORTS), remedy="name one of these")
    cohort = COHORTS[name]
    n = cohort.n if n is None else n
    if not 1 <= n <= SEEDS_PER_COHORT:
        raise UsageError("n", got=f"{n}", allowed=f"1 to {SEEDS_PER_COHORT}", remedy="ask for fewer scans")
    if seed < 0:
        raise UsageError("seed", got=f"{seed}", allowed="0 or more", remedy="give another seed")
    first = (1 + list(COHORTS).index(name)) * 10**9 + SEEDS_PER_COHORT * seed
    n_each = cohort.n if cohort.series else 1
    return [Member(f"s{i + 1:04d}", first + i // n_each, _case(cohort, first, i)) for i in range(n)]


def _case(cohort: Cohort, first: int, i: int) -> Case:
    if cohort.series:
        number = i % cohort.n - 1
        if number < 0:
            return Case()
        return Case(
            failure=FAILURES[number // len(SEVERITIES)], severity=SEVERITIES[number % len(SEVERITIES)]
        )
    rng = np.random.default_rng([first, i])
    ill, fails = rng.random() < cohort.ill, rng.random() < cohort.failing
    pathology, failure = str(rng.choice(PATHOLOGIES)), str(rng.choice(FAILURES))
    how_ill, how_bad = float(rng.uniform(0.2, 1)), float(rng.choice(SEVERITIES))
    return Case({pathology: round(how_ill, 2)} if ill else {}, failure if fails else None, how_bad)


def write_tree(
    name: str, folder: str | Path, *, n: int | None = None, seed: int = 0, spacing_mm: float = 4.0
) -> Iterator[Path]:
    """Write a cohort, scan by scan; what is there of it is replaced.

    Parameters
    ----------
    name : str
        One of `COHORTS`.
    folder : str or Path
        Gets ``s0001/ct.nii.gz`` and ``s0001/segmentations/CLASS.nii.gz`` for each scan and class, the masks
        of pathologies as ``rois/s0001/NAME.nii.gz`` (empty where a patient has none), and ``meta.csv``
        (separated by semicolons, as TotalSegmentator's).
    n, seed : int, optional
        How many scans, and which cohort of that name.
    spacing_mm : float
        Edge length of a voxel.

    Yields
    ------
    Path
        Each CT file, when its scan is complete.

    Raises
    ------
    UsageError
        As `members`; or if the folder holds other scans, or a file cannot be written.
    """
    folder = Path(folder)
    people = members(name, n, seed)
    others = {path.parent.name for path in folder.glob("*/segmentations")} - {m.scan_id for m in people}
    if others:
        raise UsageError(
            folder,
            got=f"other scans ({min(others)}{', …' * (len(others) > 1)})",
            allowed="a folder for this cohort alone",
            remedy="name another, or remove them",
        )
    rows = []
    for member in people:
        phantom = make_phantom(member.seed, spacing_mm, member.case)
        masks = {
            folder / member.scan_id / "segmentations" / f"{label}.nii.gz": phantom.labels == index
            for index, label in enumerate(THORAX_CLASSES)
            if index
        }
        for pathology in PATHOLOGIES:
            mask = phantom.pathologies.get(pathology, np.zeros(phantom.grid.shape, dtype=bool))
            masks[folder / "rois" / member.scan_id / f"{pathology}.nii.gz"] = mask
        for path, mask in masks.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_nifti(path, mask, phantom.grid)
        path = folder / member.scan_id / "ct.nii.gz"
        write_nifti(path, phantom.hu, phantom.grid)
        rows.append(_row(name, member, phantom.metadata))
        pd.DataFrame(rows).to_csv(folder / "meta.csv", sep=";", index=False)
        yield path


def _row(cohort: str, member: Member, metadata: object) -> dict[str, object]:
    found = dict(metadata)  # type: ignore[call-overload]
    return {
        "image_id": member.scan_id,
        "age": found["age"],
        "gender": found["sex"].lower(),
        "split": ("val" if member.seed % 8 == 7 else "train") if cohort == "training" else "test",
        "pathology": found["pathologies"] or "none",
        "contrast": found["contrast"],
        "failure": found["failure"] or "none",
        "severity": found["severity"],
        "seed": member.seed,
    }
