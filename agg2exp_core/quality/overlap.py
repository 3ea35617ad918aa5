"""How far two label maps agree."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agg2exp_core.types import LabelVolume


def dice_of(found: LabelVolume, truth: LabelVolume, n_classes: int) -> NDArray[np.float64]:
    """Return the Dice of each class ``[L]`` between label maps of one shape; NaN where it is in neither."""
    both = np.bincount(truth[found == truth].ravel(), minlength=n_classes)
    total = sum(np.bincount(part.ravel(), minlength=n_classes) for part in (found, truth))
    with np.errstate(invalid="ignore"):
        dice: NDArray[np.float64] = 2 * both / total
    return dice
