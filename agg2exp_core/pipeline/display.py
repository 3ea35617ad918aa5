"""An attribution as pictures show it: of gradients the strongest 5%, of players all but the background.

Values of players are the same all over a region, so that a percentile would fall on a whole region.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from agg2exp_core.attribution import method_class
from agg2exp_core.errors import UsageError
from agg2exp_core.store import ScanStore, Store
from agg2exp_core.types import FloatVolume, Prediction

_STRONGEST = 95.0


def summed_voxels(scan_store: ScanStore, label: str, name: str) -> FloatVolume:
    """Return an attribution ``[X, Y, Z]`` with its channels added up."""
    attribution: Any = scan_store.attribution(label, name)
    values = np.asarray(attribution.compute())
    return np.asarray(values if values.ndim == 3 else values.sum(axis=0))


def shown_voxels(
    store: Store, scan_store: ScanStore, label: str, name: str, prediction: Prediction
) -> tuple[FloatVolume, float]:
    """Return an attribution ``[X, Y, Z]`` with its channels added up, and the percentile it is shown above.

    Parameters
    ----------
    store, scan_store : Store, ScanStore
        With the recipe of the label, and with the voxels.
    label, name : str
        Which results, which class.
    prediction : Prediction
        Of the scan: its background is NaN, where it is not shown.
    """
    values = summed_voxels(scan_store, label, name)
    if _is_of_players(store, label):
        return np.where(prediction.labels == 0, np.nan, values), 0.0
    return values, _STRONGEST


def shown_rule(store: Store, label: str) -> str:
    """Return in words which voxels of a label are shown."""
    if _is_of_players(store, label):
        return "all attribution but that of the background"
    return "absolute attribution above its 95th percentile"


def _is_of_players(store: Store, label: str) -> bool:
    try:
        return method_class(store.labels()[label].method).players
    except UsageError:  # a user's module that is not importable here, or matrices without a method
        return False
