"""Table 1, and methods ranked by how true their matrices are, on crops of phantoms or of a brain scan.

``python -m benchmarks.table1 OUT`` takes phantoms, ``python -m benchmarks.table1 OUT --data FOLDER`` the
brain. What is there already is not computed again, so a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import yaml

from agg2exp_core.labels import THORAX_CLASSES
from agg2exp_core.phantom import make_phantom

SHIPPED = Path(__file__).parents[1] / "agg2exp_core" / "data" / "thorax_phantom"
N_PHANTOMS, FIRST_SEED, SPACING_MM = 8, 7000, 4.0
PHANTOM_CROP, PHANTOM_WINDOW = (40, 40, 16), (24, 24, 16)
"""Voxels; few enough classes meet a window for the reference method to be exact."""
METRICS = ("faithfulness", "sensitivity", "complexity", "efficiency", "roi_faithfulness", "roi_distance")
BRAIN_CROP = (80, 80, 48)


@dataclass(frozen=True)
class Case:
    """Scans, a model, and the parameters of methods and metrics that make them affordable.

    Parameters
    ----------
    scans, model : Path
        Folders.
    methods, metrics : mapping
        Values by ``NAME.parameter``.
    """

    scans: Path
    model: Path
    methods: Mapping[str, Any]
    metrics: Mapping[str, Any]


def phantoms(folder: Path) -> Case:
    """Write crops of phantoms around the heart, and the shipped model with windows smaller than they."""
    for n in range(N_PHANTOMS):
        phantom = make_phantom(FIRST_SEED + n, SPACING_MM)
        heart = np.argwhere(phantom.labels == THORAX_CLASSES.index("heart"))
        image = nib.Nifti1Image(phantom.hu, phantom.grid.affine)
        _crop(image, heart.mean(axis=0).round(), PHANTOM_CROP, folder / "scans" / f"p{n + 1:03d}.nii.gz")
    model = folder / "model"
    shutil.copytree(SHIPPED, model, dirs_exist_ok=True)
    description = yaml.safe_load((model / "model.yaml").read_text())
    description["windows"]["shape"] = list(PHANTOM_WINDOW)
    (model / "model.yaml").write_text(yaml.safe_dump(description))
    methods = {
        "smoothgrad.n_samples": 5,
        "integrated_gradients.n_steps": 5,
        "kernelshap_cubes.cube_side": 16,
        "kernelshap_cubes.n_samples": 200,
        "shapley_cubes.cube_side": 16,
        "shapley_semantic.max_exact_players": 8,
        "shapley_semantic.n_samples": 256,
    }
    return Case(folder / "scans", model, methods, {"faithfulness.subset_share": 0.05})


def brain(folder: Path, data: Path) -> Case:
    """Write a crop of the middle of a brain scan, for a model that wants windows of 128 voxels."""
    image = nib.load(data / "brain_t1" / "t1.nii.gz")
    _crop(image, np.array(image.shape) // 2, BRAIN_CROP, folder / "scans" / "head.nii.gz")
    methods = {
        "smoothgrad.n_samples": 2,
        "integrated_gradients.n_steps": 2,
        "kernelshap_cubes.cube_side": 84,
        "kernelshap_cubes.n_samples": 40,
        "kernelshap_semantic.n_samples": 40,
        "shapley_cubes.cube_side": 84,
    }
    metrics = {"faithfulness.subset_share": 0.05, "faithfulness.n_subsets": 30}
    return Case(folder / "scans", data / "models" / "meshnet_gwm", methods, metrics)


def _crop(image: Any, middle: np.ndarray, shape: Sequence[int], path: Path) -> None:
    starts = [int(min(max(m - s // 2, 0), n - s)) for m, s, n in zip(middle, shape, image.shape, strict=True)]
    part = image.slicer[tuple(slice(a, a + s) for a, s in zip(starts, shape, strict=True))]
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(part, path)


def run(case: Case, store: Path) -> None:
    """Run all methods and metrics as a user would."""
    words = ["benchmark", str(case.scans), "--model", str(case.model), "--out", str(store)]
    words += ["--metrics", ",".join(METRICS), "--set-metric", "sensitivity.n_perturbations=1"]
    words += [word for item in case.methods.items() for word in ("--set-method", "{}={}".format(*item))]
    words += [word for item in case.metrics.items() for word in ("--set-metric", "{}={}".format(*item))]
    subprocess.run([sys.executable, "-m", "agg2exp_cli", *words], check=True)


def main() -> None:
    """Make the cases that are not there, and run them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table1", description=__doc__)
    parser.add_argument("out", type=Path, help="folder for scans, stores and tables")
    parser.add_argument(
        "--data", type=Path, help="folder with brain_t1 and models/meshnet_gwm: the brain, not phantoms"
    )
    arguments = parser.parse_args()
    if arguments.data:
        run(brain(arguments.out / "brain", arguments.data), arguments.out / "brain" / "store")
    else:
        run(phantoms(arguments.out / "phantoms"), arguments.out / "phantoms" / "store")


if __name__ == "__main__":
    main()
