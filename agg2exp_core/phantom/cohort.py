"""A folder of phantoms, as a hospital would hand over a labelled cohort."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from agg2exp_core.errors import UsageError
from agg2exp_core.labels import THORAX_CLASSES
from agg2exp_core.phantom.render import make_phantom
from agg2exp_core.volumes import write_nifti

SEEDS_PER_COHORT = 1000


def write_cohort(folder: str | Path, n: int, *, seed: int = 0, spacing_mm: float = 4.0) -> list[Path]:
    """Write `n` phantoms with their labels and a table of metadata.

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
    if not 1 <= n <= SEEDS_PER_COHORT:
        raise UsageError("n", got=f"{n}", allowed=f"1 to {SEEDS_PER_COHORT}", remedy="ask for fewer scans")
    folder = Path(folder)
    rows, paths = [], []
    for i in range(n):
        scan_id, scan_seed = f"p{i + 1:03d}", SEEDS_PER_COHORT * seed + i
        phantom = make_phantom(scan_seed, spacing_mm)
        path = folder / scan_id / "ct.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_nifti(path, phantom.hu, phantom.grid)
        write_nifti(path.with_name("labels.nii.gz"), phantom.labels, phantom.grid)
        rows.append({"scan_id": scan_id, "seed": scan_seed, **phantom.metadata})
        paths.append(path)
    names = {str(index): name for index, name in enumerate(THORAX_CLASSES) if index}
    (folder / "labels.json").write_text(json.dumps(names, indent=2) + "\n")
    pd.DataFrame(rows).to_csv(folder / "cohort.csv", index=False)
    return paths
