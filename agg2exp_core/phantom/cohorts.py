"""Cohorts of phantoms as files, reproducible from a seed: plain ones, and named ones with failures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agg2exp_core.errors import UsageError, out_of_range, unknown_name
from agg2exp_core.files import whole_file
from agg2exp_core.labels import THORAX_CLASSES
from agg2exp_core.phantom.case import FAILURES, PATHOLOGIES, PhantomCase
from agg2exp_core.phantom.render import make_phantom
from agg2exp_core.volumes import write_nifti

SEVERITIES = (0.25, 0.5, 0.75, 1.0)
SEEDS_PER_PLAIN_COHORT = 1_000
SEEDS_PER_COHORT = 10_000


@dataclass(frozen=True)
class CohortDesign:
    """How often the patients of a cohort are ill and its scans fail.

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


COHORTS: dict[str, CohortDesign] = {
    "training": CohortDesign(48),
    "reference": CohortDesign(40, ill=0.1),
    "test": CohortDesign(32),
    "hospital": CohortDesign(40, ill=0.3, failing=0.25),
    "failures": CohortDesign(1 + len(FAILURES) * len(SEVERITIES), series=True),
}
"""The cohorts by name; no two share a patient."""


@dataclass(frozen=True)
class Member:
    """A scan of a cohort: ``make_phantom(seed, case=case)``."""

    scan_id: str
    seed: int
    case: PhantomCase


def write_cohort(folder: str | Path, n: int, *, seed: int = 0, spacing_mm: float = 4.0) -> list[Path]:
    """Write `n` phantoms with their labels and a table of metadata, as a hospital would hand them over.

    Scan i of cohort `seed` is ``make_phantom(1000 * seed + i)``, so a longer cohort begins with the
    shorter one, and two cohorts share nobody.

    Parameters
    ----------
    folder : str or Path
        Gets ``p001/ct.nii.gz``, ``p001/labels.nii.gz``, …, ``labels.json`` (names by index) and
        ``cohort.csv``.
    n : int
        Scans, 1 to 1000.
    seed : int
        Which cohort.
    spacing_mm : float
        Edge length of a voxel.

    Returns
    -------
    list of Path
        The CT files.

    Raises
    ------
    UsageError
        If `n`, `seed` or `spacing_mm` is out of range, or a file cannot be written.
    """
    _check_count(n, SEEDS_PER_PLAIN_COHORT)
    folder = Path(folder)
    rows, paths = [], []
    for i in range(n):
        scan_id, scan_seed = f"p{i + 1:03d}", SEEDS_PER_PLAIN_COHORT * seed + i
        phantom = make_phantom(scan_seed, spacing_mm)
        path = folder / scan_id / "ct.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_nifti(path, phantom.hu, phantom.grid)
        write_nifti(path.with_name("labels.nii.gz"), phantom.labels, phantom.grid)
        rows.append({"scan_id": scan_id, "seed": scan_seed, **phantom.metadata})
        paths.append(path)
    names = {str(index): name for index, name in enumerate(THORAX_CLASSES) if index}
    with whole_file(folder / "labels.json") as partial:
        partial.write_text(json.dumps(names, indent=2) + "\n")
    with whole_file(folder / "cohort.csv") as partial:
        pd.DataFrame(rows).to_csv(partial, index=False)
    return paths


def members(name: str, n: int | None = None, seed: int = 0) -> list[Member]:
    """Return who belongs to a cohort; a longer one begins with the shorter one.

    Raises
    ------
    UsageError
        If there is no such cohort, or a number is out of range.
    """
    if name not in COHORTS:
        raise unknown_name("cohort", name, COHORTS)
    design = COHORTS[name]
    n = design.n if n is None else n
    _check_count(n, SEEDS_PER_COHORT)
    if seed < 0:
        raise out_of_range("seed", seed, "0 or more")
    # a range of seeds for each cohort and seed, so that no two of them share a patient
    first = (1 + list(COHORTS).index(name)) * 10**9 + SEEDS_PER_COHORT * seed
    n_each = design.n if design.series else 1
    return [Member(f"s{i + 1:04d}", first + i // n_each, _case(design, first, i)) for i in range(n)]


def _case(design: CohortDesign, first: int, i: int) -> PhantomCase:
    if design.series:
        number = i % design.n - 1
        if number < 0:
            return PhantomCase()
        return PhantomCase(
            failure=FAILURES[number // len(SEVERITIES)], severity=SEVERITIES[number % len(SEVERITIES)]
        )
    rng = np.random.default_rng([first, i])
    ill, fails = rng.random() < design.ill, rng.random() < design.failing
    pathology, failure = str(rng.choice(PATHOLOGIES)), str(rng.choice(FAILURES))
    how_ill, how_bad = float(rng.uniform(0.2, 1)), float(rng.choice(SEVERITIES))
    return PhantomCase({pathology: round(how_ill, 2)} if ill else {}, failure if fails else None, how_bad)


def write_tree(
    name: str, folder: str | Path, *, n: int | None = None, seed: int = 0, spacing_mm: float = 4.0
) -> Iterator[Path]:
    """Write a named cohort as a tree like TotalSegmentator's, scan by scan; files of it are replaced.

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
        with whole_file(folder / "meta.csv") as partial:
            pd.DataFrame(rows).to_csv(partial, sep=";", index=False)
        yield path


def _check_count(n: int, most: int) -> None:
    if not 1 <= n <= most:
        raise out_of_range("n", n, f"1 to {most}")


def _row(cohort: str, member: Member, found: Mapping[str, Any]) -> dict[str, object]:
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
