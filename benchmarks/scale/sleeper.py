"""A method of known length, and the cohort that it explains."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
import yaml
from monai.networks.nets import UNet
from safetensors.torch import save_file

from agg2exp_core.attribution import Method, Problem
from agg2exp_core.attribution.method import Explained

REFERENCE = "benchmarks.scale.sleeper:Sleeper"
SIDE = 16
CLASS_NAMES = ["background", "a", "b"]
ARGUMENTS = {
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": len(CLASS_NAMES),
    "channels": [4, 8],
    "strides": [2],
}


class Sleeper(Method):
    """Stands for a method that takes `seconds` a scan, all of its classes together."""

    random = False

    seconds: float = 0.0
    """That it sleeps."""

    def explain(self, problem: Problem, classes: Sequence[int]) -> Iterator[Explained]:
        """Sleep, and yield the scan itself for each class."""
        time.sleep(self.seconds)
        for class_index in classes:
            yield class_index, problem.image.clone(), {}


def write_cohort(folder: Path, n_scans: int) -> tuple[Path, Path]:
    """Write a small model and scans of 16^3 voxels, all different; return where each lies."""
    model, scans = folder / "model", folder / "scans"
    model.mkdir(parents=True)
    scans.mkdir()
    torch.manual_seed(0)
    save_file(UNet(**ARGUMENTS).state_dict(), model / "model.safetensors")
    description = {
        "name": "small",
        "network": {"name": "UNet", "arguments": ARGUMENTS},
        "weights": "model.safetensors",
        "n_channels": 1,
        "class_names": CLASS_NAMES,
        "windows": {"shape": [SIDE] * 3, "overlap": 0.25, "blend": "gaussian"},
        "preprocessing": {"kind": "ct", "spacing_mm": 2.0, "hu_range": [-1000, 1000]},
    }
    (model / "model.yaml").write_text(yaml.safe_dump(description))
    for n in range(n_scans):
        hu = np.random.default_rng(n).integers(-900, 900, size=(SIDE,) * 3, dtype=np.int16)
        nib.save(nib.Nifti1Image(hu, np.diag([-2.0, -2.0, 2.0, 1.0])), scans / f"s{n:04}.nii.gz")
    return model, scans
