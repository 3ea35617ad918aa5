"""What the grey of a scan means: Hounsfield units where the preprocessing can be undone, and its windows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agg2exp_core.types import FloatVolume

HU_STEP = 4.0
"""Of what a browser gets: a hundred greys in a window of 400 HU."""
WINDOWS = {
    "lung": (1500, -600),
    "mediastinum": (350, 50),
    "soft tissue": (400, 40),
    "bone": (1800, 400),
}
"""Width and level in HU, as radiologists choose them."""


def in_hounsfield_units(
    values: FloatVolume, preprocessing: Mapping[str, Any] | None
) -> NDArray[np.float64] | None:
    """Return an image of a model's input in Hounsfield units, or None where that is not known.

    Parameters
    ----------
    values : ndarray of float, shape [X, Y, Z]
        The first channel of the model's input.
    preprocessing : mapping or None
        As the store's record of the model describes it.
    """
    told = preprocessing or {}
    if told.get("kind") == "ct":
        low, high = (float(hu) for hu in told["hu_range"])
        return np.asarray(low + np.asarray(values, np.float64) * (high - low))
    if told.get("kind") == "nnunet" and list(told["normalization_schemes"])[:1] == ["CTNormalization"]:
        of_channel = told["intensities"]["0"]
        return np.asarray(np.asarray(values, np.float64) * of_channel["std"] + of_channel["mean"])
    return None


def attribution_unit(method: str) -> str:
    """Return in words what the numbers of a method's attributions are."""
    if method in ("vanilla_gradient", "smoothgrad"):
        return "change of the class's output per unit of the network's input"
    if method == "integrated_gradients" or method.startswith(("shapley_", "kernelshap_")):
        return "part of the class's output"
    return "in the method's own unit"
