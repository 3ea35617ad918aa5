"""TotalSegmentator's data set, version 2: its tree of folders, and the 17 classes of the paper in it.

The tree is ``meta.csv`` and, for each subject, ``s0000/ct.nii.gz`` and ``s0000/segmentations/NAME.nii.gz``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from agg2exp_core.errors import ScanError, UsageError
from agg2exp_core.labels import MERGED_CLASSES, THORAX_CLASSES
from agg2exp_core.types import Grid, LabelVolume
from agg2exp_core.user_tables import read_cells
from agg2exp_core.volumes.nifti_reader import read_voxels

_SPLITS = {"train": "training", "val": "validation", "test": "test"}
"""The data set's names of the splits, and those of datalists."""
_SAME_MM = 1e-3
"""Grids whose affines differ by less are the same."""


@dataclass(frozen=True)
class Case:
    """One subject.

    Parameters
    ----------
    scan_id : str
        Name of its folder.
    image : Path
        Its CT.
    split : str
        ``training``, ``validation`` or ``test``; empty where ``meta.csv`` does not say.
    metadata : mapping of str to str
        The other columns of ``meta.csv``: age, gender, pathology, …
    """

    scan_id: str
    image: Path
    split: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def masks(self) -> Path:
        """Folder of its masks."""
        return self.image.parent / "segmentations"


def find_cases(folder: str | Path) -> list[Case]:
    """Return the subjects of a tree by name, those in ``meta.csv`` with what it says.

    Raises
    ------
    UsageError
        If there is no subject, or ``meta.csv`` has no column ``image_id``.
    """
    folder = Path(folder)
    images = sorted(path.parent / "ct.nii.gz" for path in folder.glob("*/segmentations") if path.is_dir())
    if not images:
        raise UsageError(
            folder,
            got="no folder with segmentations/",
            allowed="TotalSegmentator's tree: s0000/ct.nii.gz and s0000/segmentations/NAME.nii.gz",
            remedy="name the folder that was unpacked",
        )
    rows = _metadata(folder / "meta.csv")
    cases = []
    for image in images:
        row = dict(rows.get(image.parent.name, {}))
        split = row.pop("split", "").strip().lower()
        cases.append(Case(image.parent.name, image, _SPLITS.get(split, split), row))
    return cases


def merge_labels(
    case: Case,
    class_names: Sequence[str] = THORAX_CLASSES,
    merged: Mapping[str, Sequence[str]] = MERGED_CLASSES,
) -> tuple[LabelVolume, Grid]:
    """Return the label map of a subject: each class from its mask, merged ones from those of their parts.

    Parameters
    ----------
    case : Case
        The subject.
    class_names : sequence of str
        Names by index, background first; by default the paper's 17 with all ribs and all vertebrae merged.
    merged : mapping of str to sequence of str
        Masks of the classes that have none of their own.

    Returns
    -------
    labels : ndarray of uint8, shape [X, Y, Z]
        Where masks overlap, the later class. A mask that is not there or is empty leaves its class out: see
        `absent_classes`.
    grid : Grid
        Of the masks.

    Raises
    ------
    ScanError
        If a mask cannot be read, masks are not on one grid, or there is none for any class.
    """
    labels: LabelVolume | None = None
    grid: Grid | None = None
    for index, name in enumerate(class_names[1:], start=1):
        for part in (name, *merged.get(name, ())):
            path = case.masks / f"{part}.nii.gz"
            if not path.is_file():
                continue
            values, its_grid = read_voxels(path)
            if labels is None or grid is None:
                labels, grid = np.zeros(its_grid.shape, np.uint8), its_grid
            elif its_grid.shape != grid.shape or not np.allclose(its_grid.affine, grid.affine, atol=_SAME_MM):
                raise _wrong(case, f"{path.name} on another grid", "masks on the grid of the CT")
            labels[values > 0] = index
    if labels is None or grid is None:
        raise _wrong(case, "no mask of any class", f"masks such as {class_names[1]}.nii.gz")
    return labels, grid


def absent_classes(labels: LabelVolume, class_names: Sequence[str] = THORAX_CLASSES) -> list[str]:
    """Return the classes without a voxel: the paper keeps the scans that have none."""
    counts = np.bincount(labels.ravel(), minlength=len(class_names))
    return [name for name, n in zip(class_names, counts, strict=True) if not n]


def _metadata(path: Path) -> dict[str, dict[str, str]]:
    if not path.is_file():
        return {}
    cells = read_cells(path, str(path))
    if "image_id" not in cells:
        raise UsageError(
            path,
            got=f"the columns {', '.join(map(str, cells))}",
            allowed="a column image_id, and split",
            remedy="use the data set's own meta.csv",
        )
    rows = cells.dropna(subset="image_id").set_index("image_id")
    return {
        str(scan_id): {str(key): str(cell) for key, cell in row.dropna().items()}
        for scan_id, row in rows.iterrows()
    }


def _wrong(case: Case, got: str, allowed: str) -> ScanError:
    return ScanError(
        case.scan_id, got=got, allowed=allowed, remedy="unpack this subject again, or leave it out"
    )
