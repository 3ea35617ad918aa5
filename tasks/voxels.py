"""An attribution as pictures show it: of gradients the strongest 5%, of players all but the background.

Values of players are the same all over a region, so that a percentile would fall on a whole region.
"""

from __future__ import annotations

import numpy as np

from agg2exp_core.store import ScanStore, Store
from agg2exp_core.types import FloatVolume, Prediction

_OF_PLAYERS = ("kernelshap", "shapley")
_STRONGEST = 95.0


def shown_voxels(
    store: Store, there: ScanStore, label: str, name: str, prediction: Prediction
) -> tuple[FloatVolume, float]:
    """Return an attribution ``[X, Y, Z]`` with its channels added up, and the percentile it is shown above.

    Parameters
    ----------
    store, there : Store, ScanStore
        With the recipe of the label, and with the voxels.
    label, name : str
        Which results, which class.
    prediction : Prediction
        Of the scan: its background is NaN, where it is not shown.
    """
    values = np.asarray(there.attribution(label, name).compute())
    values = values if values.ndim == 3 else values.sum(axis=0)
    if _is_of_players(store, label):
        return np.where(prediction.labels == 0, np.nan, values), 0.0
    return values, _STRONGEST


def shown_rule(store: Store, label: str) -> str:
    """Return in words which voxels of a label are shown."""
    if _is_of_players(store, label):
        return "all attribution but that of the background"
    return "absolute attribution above its 95th percentile"


def _is_of_players(store: Store, label: str) -> bool:
    return store.labels()[label].method.startswith(_OF_PLAYERS)
