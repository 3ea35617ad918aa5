"""Results of a scan as NIfTI files in its own space."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agg2exp_core.errors import UsageError
from agg2exp_core.pipeline.lookup import attribution_of, one_of, prediction_of
from agg2exp_core.store import ScanStore, open_store
from agg2exp_core.volumes import resample, write_nifti
from agg2exp_core.volumes.nifti_writer import ESTIMATE, LABELS


@dataclass(frozen=True)
class Wanted:
    """Which attributions beside the prediction.

    Parameters
    ----------
    label : str
        Of the method and its parameters.
    classes : list of str
        Of which classes.
    """

    label: str
    classes: list[str]

    def names(self) -> dict[str, str | None]:
        """Return the class of each result, by the name of its file; of the prediction None."""
        return {"segmentation": None, **{f"{self.label}_{name}": name for name in self.classes}}


def write_volume(scan_store: ScanStore, label: str, class_name: str | None, out: Path) -> None:
    """Write an attribution, or without a class the label map, on the grid of the scan as it came.

    Attributions are resampled linearly, label maps to the nearest voxel; outside the part that the
    model saw both are 0.

    Raises
    ------
    UsageError
        If there is no such result, its voxels are not kept, or the file cannot be written.
    """
    scan = scan_store.image()
    if class_name is None:
        values = resample(prediction_of(scan_store).labels, scan.grid, scan.source, interpolation="nearest")
    else:
        attribution = attribution_of(scan_store, label, class_name)
        values = resample(attribution, scan.grid, scan.source, interpolation="linear")
    intent = LABELS if class_name is None else ESTIMATE
    description = "agg2exp: prediction" if class_name is None else f"agg2exp: {label} of {class_name}"
    write_nifti(out, values, scan.source, intent=intent, description=description)


def write_volumes(scan_store: ScanStore, wanted: Wanted, folder: Path) -> list[Path]:
    """Write the prediction and attributions as ``SCAN_NAME.nii.gz`` to a folder, which is made.

    Raises
    ------
    UsageError
        As `write_volume`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            folder,
            got=f"a folder that cannot be made ({error.strerror})",
            allowed="a writable place",
            remedy="choose another folder",
        ) from error
    written = []
    for name, class_name in wanted.names().items():
        written.append(folder / f"{scan_store.scan_id}_{name}.nii.gz")
        write_volume(scan_store, wanted.label, class_name, written[-1])
    return written


def export_volume(
    store: str, scan_id: str | None, label: str | None, class_name: str | None, out: Path
) -> Path:
    """Write an attribution, or without a class the label map, as NIfTI on the grid of the input.

    Raises
    ------
    UsageError
        If there is no such scan, label or class, if its voxels are not kept, or the file is to be of another
        kind.
    """
    if not out.name.endswith((".nii", ".nii.gz")):
        raise UsageError("--out", got=str(out), allowed=".nii.gz, .nii or .csv", remedy="rename the file")
    opened = open_store(store)
    scan_store = opened.scan(one_of("--scan-id", scan_id, opened.scans()))
    chosen = "" if class_name is None else one_of("--label", label, list(opened.labels()))
    write_volume(scan_store, chosen, class_name, out)
    return out
