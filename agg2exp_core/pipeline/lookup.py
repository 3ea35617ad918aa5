"""What a user names of a store: the one there is, or a clear word about what there is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agg2exp_core.errors import UsageError, nearest
from agg2exp_core.store import ScanStore, Store, open_store
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


def prediction_of(scan_store: ScanStore) -> Prediction:
    """Return the prediction of a scan.

    Raises
    ------
    UsageError
        If there is none.
    """
    prediction = scan_store.prediction()
    if prediction is None:
        raise UsageError(
            "--scan-id",
            got=f"{scan_store.scan_id}, which is not segmented",
            allowed="a segmented scan",
            remedy="explain the scan first",
        )
    return prediction


def attribution_of(scan_store: ScanStore, label: str, class_name: str) -> FloatVolume:
    """Return a stored attribution ``[X, Y, Z]`` or ``[C, X, Y, Z]``.

    Raises
    ------
    UsageError
        If there is none, or its voxels are not kept.
    """
    units, sums = scan_store.units(label), scan_store.sums(label)
    if class_name in sums.keys() - units.keys():
        when = sums[class_name].dropped_at
        raise UsageError(
            "--class",
            got=f"{class_name!r}, whose voxels " + (f"were dropped at {when}" if when else "were not kept"),
            allowed=", ".join(units) or "attributions with voxels, of which this scan has none",
            remedy=f"explain it again {'with --restore-voxels' if when else 'without --no-voxels'}",
        )
    one_of("--class", class_name, list(units))
    return np.asarray(scan_store.attribution(label, class_name))


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


def labels_of(store: str, labels: Sequence[str] | None) -> list[str]:
    """Return the labels that are asked for, or all of a store.

    Raises
    ------
    UsageError
        If the store has no such label, or none at all.
    """
    known = list(open_store(store).labels())
    unknown = [label for label in labels or known[:1] or ["any"] if label not in known]
    if unknown:
        raise UsageError(
            "--label",
            got=f"{unknown[0]!r}, which {store} does not hold",
            allowed=", ".join(known) or "labels of explained scans",
            remedy=nearest(unknown[0], known) if known else "explain scans into this store first",
        )
    return list(labels or known)


def only_label(option: str, store: str, label: str) -> str:
    """Return the label that is meant: the given one, or where none is given the only one.

    Raises
    ------
    UsageError
        If the store has several labels, or not this one.
    """
    known = labels_of(store, [label] if label else None)
    if len(known) > 1:
        raise UsageError(option, got="nothing", allowed=", ".join(known), remedy=f"choose one with {option}")
    return known[0]
