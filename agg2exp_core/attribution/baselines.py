"""What stands for "nothing there": the scan in which voxels are replaced, or where a path starts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
from pydantic import BeforeValidator
from scipy import ndimage

from agg2exp_core.errors import UsageError, unknown_name
from agg2exp_core.types import SegmentationModel
from agg2exp_core.volumes import CTPreprocessing

AIR_HU = -1000.0
"""Air in Hounsfield units."""
BLUR_SIGMA_VOXELS = 10.0
"""Standard deviation of ``blur``: 15 mm at 1.5 mm, coarse enough to wipe out vessels and ribs."""


def _zero(image: torch.Tensor, model: SegmentationModel) -> torch.Tensor:
    return _constant(image, 0.0)


def _mean(image: torch.Tensor, model: SegmentationModel) -> torch.Tensor:
    means = image.double().mean(dim=(1, 2, 3), keepdim=True)  # [C, 1, 1, 1]
    return means.to(image).expand_as(image)


def _blur(image: torch.Tensor, model: SegmentationModel) -> torch.Tensor:
    sigmas = (0.0, *[BLUR_SIGMA_VOXELS] * 3)
    blurred = ndimage.gaussian_filter(image.cpu().numpy(), sigmas, mode="nearest")
    return torch.from_numpy(np.ascontiguousarray(blurred)).to(image)


def _air(image: torch.Tensor, model: SegmentationModel) -> torch.Tensor:
    preprocessing = model.preprocessing
    if not isinstance(preprocessing, CTPreprocessing):
        raise UsageError(
            "baseline",
            got=f"'air' for the model {model.name}, whose preprocessing is not the one for CT",
            allowed="'air' where intensities come from Hounsfield units",
            remedy="give the value of air after this model's preprocessing as a number",
        )
    low, high = preprocessing.hu_range
    return _constant(image, min(max((AIR_HU - low) / (high - low), 0.0), 1.0))


def _constant(image: torch.Tensor, value: float) -> torch.Tensor:
    return image.new_full((1, 1, 1, 1), value).expand_as(image)


BASELINES: dict[str, Callable[[torch.Tensor, SegmentationModel], torch.Tensor]] = {
    "zero": _zero,
    "mean": _mean,
    "blur": _blur,
    "air": _air,
}
"""Baselines by name: 0, the scan's own mean in each channel, the scan blurred by a Gaussian of
`BLUR_SIGMA_VOXELS`, and air in Hounsfield units mapped through the preprocessing for CT."""


def parse_baseline(text: object) -> str:
    """Return the one spelling of a baseline: a key of `BASELINES`, or a finite number.

    Raises
    ------
    UsageError
        If it is neither.
    """
    name = str(text).strip()
    if name in BASELINES:
        return name
    try:
        value = float(name)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise unknown_name("baseline", name, BASELINES, beside="a number")
    return repr(value) if value else "zero"


Baseline = Annotated[str, BeforeValidator(parse_baseline)]
"""Name of a baseline, as a parameter: `parse_baseline` makes it of names, numbers and texts."""


def baseline_image(name: str, image: torch.Tensor, model: SegmentationModel) -> torch.Tensor:
    """Return the baseline of a scan.

    Parameters
    ----------
    name : str
        As `parse_baseline` returns it.
    image : torch.Tensor, shape [C, X, Y, Z]
        The scan.
    model : SegmentationModel
        Its preprocessing says what air is.

    Returns
    -------
    torch.Tensor, shape [C, X, Y, Z]
        In the scan's type, on its device; a constant takes no memory of its own.

    Raises
    ------
    UsageError
        For ``air`` where the preprocessing is not the one for CT.
    """
    return BASELINES[name](image, model) if name in BASELINES else _constant(image, float(name))
