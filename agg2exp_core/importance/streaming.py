"""Sums over regions of attributions that arrive in planes and are held by nobody."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agg2exp_core.importance.regions import Atoms, RoiSet, atoms
from agg2exp_core.importance.sums import RoiSums, roi_sums


class StreamedSums:
    """The `RoiSums` of attributions whose planes come in order.

    Parameters
    ----------
    rois : RoiSet
        The regions.
    """

    def __init__(self, rois: RoiSet) -> None:
        self._rois = rois
        self._sums: dict[str, RoiSums] = {}
        self._atoms: dict[tuple[int, int], Atoms] = {}  # those of the planes that came last

    def add(self, class_name: str, start: int, values: NDArray[np.floating[Any]]) -> None:
        """Add planes ``[n, Y, Z]`` or ``[C, n, Y, Z]`` from plane `start` on; with plane 0 a class begins."""
        part = roi_sums(values, self._split(start, start + values.shape[-3]))
        self._sums[class_name] = part if start == 0 else self._sums[class_name] + part

    def take(self, class_name: str) -> RoiSums:
        """Return the sums of a class whose planes are all there, and forget them."""
        return self._sums.pop(class_name)

    def _split(self, start: int, stop: int) -> Atoms:
        if (start, stop) not in self._atoms:
            rois = self._rois
            labels = None if rois.labels is None else np.asarray(rois.labels[start:stop])
            masks = [np.asarray(mask[start:stop]) for mask in rois.extra.values()]
            self._atoms = {(start, stop): atoms(labels, masks, len(rois.class_names), rois.unions)}
        return self._atoms[start, stop]
