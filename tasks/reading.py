"""What a user names of a store: the one there is, or a clear word about what there is."""

from __future__ import annotations

import numpy as np

from agg2exp_core.attribution import nearest
from agg2exp_core.errors import UsageError
from agg2exp_core.store import ScanStore, Store
from agg2exp_core.types import FloatVolume, Prediction


def one_of(option: str, given: str | None, known: list[str]) -> str:
    """Return what is given if it is known, or the only one there is.

    Raises
    ------
    UsageError
        If it is neither.
    """
    if given is None and len(known) == 1:
        return known[0]
    if given is None or given not in known:
        raise UsageError(
            option,
            got="nothing" if given is None else f"{given!r}",
            allowed=", ".join(known) or "nothing: the store holds none",
            remedy=nearest(given, known) if given else f"choose one with {option}",
        )
    return given


def prediction_of(there: ScanStore) -> Prediction:
    """Return the prediction of a scan.

    Raises
    ------
    UsageError
        If there is none.
    """
    prediction = there.prediction()
    if prediction is None:
        raise UsageError(
            "--scan-id",
            got=f"{there.scan_id}, which is not segmented",
            allowed="a segmented scan",
            remedy="explain the scan first",
        )
    return prediction


def attribution_of(there: ScanStore, label: str, class_name: str) -> FloatVolume:
    """Return a stored attribution ``[X, Y, Z]`` or ``[C, X, Y, Z]``.

    Raises
    ------
    UsageError
        If there is none, or its voxels are not kept.
    """
    units, sums = there.units(label), there.sums(label)
    if class_name in sums.keys() - units.keys():
        when = sums[class_name].dropped_at
        raise UsageError(
            "--class",
            got=f"{class_name!r}, whose voxels " + (f"were dropped at {when}" if when else "were not kept"),
            allowed=", ".join(units) or "attributions with voxels, of which this scan has none",
            remedy=f"explain it again {'with --restore-voxels' if when else 'without --no-voxels'}",
        )
    one_of("--class", class_name, list(units))
    return np.asarray(there.attribution(label, class_name).compute())


def require_rois(store: Store, names: list[str]) -> None:
    """Refuse names of extra regions that no scan has.

    Raises
    ------
    UsageError
        If there is such a name.
    """
    known = sorted({name for scan_id in store.scans() for name in store.scan(scan_id).rois()})
    for name in names:
        one_of("--drop-roi", name, known)
