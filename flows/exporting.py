"""From the store to files that other programs read: NIfTI in the scan's own space, tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from agg2exp_core.attribution import nearest
from agg2exp_core.errors import UsageError
from agg2exp_core.importance import to_table
from agg2exp_core.store import Store, open_store
from agg2exp_core.volumes import resample, write_nifti
from flows.checks import labels_of


def export_volume(
    store: str, scan_id: str | None, label: str | None, class_name: str | None, out: Path
) -> Path:
    """Write an attribution, or without a class the label map, as NIfTI on the grid of the input.

    Attributions are resampled linearly, label maps to the nearest voxel; outside the part that the
    model saw both are 0.

    Raises
    ------
    UsageError
        If there is no such scan, label or class, or the file is to be of another kind.
    """
    if not out.name.endswith((".nii", ".nii.gz")):
        raise UsageError("--out", got=str(out), allowed=".nii.gz, .nii or .csv", remedy="rename the file")
    opened = open_store(store)
    there = opened.scan(_one_of("--scan-id", scan_id, opened.scans()))
    scan = there.image()
    if class_name is None:
        prediction = there.prediction()
        if prediction is None:
            raise UsageError(
                "--scan-id",
                got=f"{there.scan_id}, which is not segmented",
                allowed="a segmented scan",
                remedy="explain the scan first",
            )
        values = resample(prediction.labels, scan.grid, scan.source, interpolation="nearest")
    else:
        chosen = _one_of("--label", label, list(opened.labels()))
        _one_of("--class", class_name, list(there.units(chosen)))
        attribution = np.asarray(there.attribution(chosen, class_name).compute())
        values = resample(attribution, scan.grid, scan.source, interpolation="linear")
    write_nifti(out, values, scan.source)
    return out


def export_matrices(store: str, label: str | None, out: Path) -> Path:
    """Write the local matrices of all scans as a table in the paper's column scheme.

    Raises
    ------
    UsageError
        If the store has no such label.
    """
    opened: Store = open_store(store)
    chosen = _one_of("--label", label, labels_of(store, None))
    to_table(opened.importance(chosen)).to_csv(out, index=False)
    return out


def _one_of(option: str, given: str | None, known: list[str]) -> str:
    """Return what is given if it is known, or the only one there is."""
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
