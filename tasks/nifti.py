"""Results of a scan as NIfTI files in its own space."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agg2exp_core.errors import UsageError
from agg2exp_core.store import ScanStore
from agg2exp_core.volumes import resample, write_nifti
from tasks.reading import attribution_of, prediction_of


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


def write_volume(there: ScanStore, label: str, class_name: str | None, out: Path) -> None:
    """Write an attribution, or without a class the label map, on the grid of the scan as it came.

    Attributions are resampled linearly, label maps to the nearest voxel; outside the part that the
    model saw both are 0.

    Raises
    ------
    UsageError
        If there is no such result, its voxels are not kept, or the file cannot be written.
    """
    scan = there.image()
    if class_name is None:
        values = resample(prediction_of(there).labels, scan.grid, scan.source, interpolation="nearest")
    else:
        attribution = attribution_of(there, label, class_name)
        values = resample(attribution, scan.grid, scan.source, interpolation="linear")
    write_nifti(out, values, scan.source)


def write_volumes(there: ScanStore, wanted: Wanted, folder: Path) -> list[Path]:
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
        written.append(folder / f"{there.scan_id}_{name}.nii.gz")
        write_volume(there, wanted.label, class_name, written[-1])
    return written
