"""Named regions of interest from files, on the grid of a scan."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agg2exp_core.errors import ScanError, UsageError
from agg2exp_core.types import Grid, Mask
from agg2exp_core.volumes.discovery import EXTENSIONS, nifti_files, safe_name, stem
from agg2exp_core.volumes.nifti_reader import read_voxels
from agg2exp_core.volumes.resampling import overlap_share, resample

logger = logging.getLogger(__name__)

LEAST_OVERLAP = 0.5
"""Share of the smaller world box that a mask and its scan must have in common."""
ROUNDING = 1e-3
"""Share by which a stored label or mask may miss its value: a slope of the file is a rounded number."""


def load_rois(
    path: str | Path, grid: Grid, scan_id: str, names_file: str | Path | None = None
) -> dict[str, Mask]:
    """Read the regions of interest of one scan.

    Parameters
    ----------
    path : str or Path
        A folder with binary masks ``<scan_id>/NAME.nii.gz``, or with a label map ``<scan_id>.nii.gz`` and the
        names of its values in ``labels.json`` (``{"1": "spleen"}``); or a label map file of this scan.
    grid : Grid
        Where the regions are wanted; masks on another grid are resampled, nearest voxel.
    scan_id : str
        Which scan.
    names_file : str or Path, optional
        Names of a label map's values, in place of ``labels.json``.

    Returns
    -------
    dict of str to ndarray of bool, shape [X, Y, Z]
        By name, in the order of the files or of the names. A named region without a voxel is
        there, all False. Characters that no store takes as a key become ``_`` in the names.

    Raises
    ------
    ScanError
        If a mask or label map is missing or unreadable, lies elsewhere than the scan, or holds more than two
        values (mask) or fractions (label map); values may miss by a share of `ROUNDING`.
    UsageError
        If the folder is missing, or the names are missing, malformed or not distinct.

    Notes
    -----
    Values of a label map without a name are no region; a warning in the log lists them. A mask is 0 outside
    and any one other value inside, and 0 wherever its file does not reach.
    """
    path = Path(path)
    if path.is_file():
        return _from_label_map(path, grid, names_file)
    if not path.is_dir():
        raise UsageError(
            path, got="nothing there", allowed="a folder of masks, or a label map", remedy="check the path"
        )
    masks = path / scan_id
    label_maps = [p for p in (path / f"{scan_id}{extension}" for extension in EXTENSIONS) if p.is_file()]
    if masks.is_dir() and not label_maps and names_file is None:
        return _from_masks(masks, grid)
    if len(label_maps) == 1 and not masks.is_dir():
        return _from_label_map(label_maps[0], grid, names_file or path / "labels.json")
    found = [p.name for p in (masks, *label_maps) if p.exists()]
    raise ScanError(
        path,
        got=f"{' and '.join(found) or 'nothing'} for the scan {scan_id}"
        + (" with a file of names" if names_file else ""),
        allowed=f"either masks {scan_id}/NAME.nii.gz, or one label map {scan_id}.nii.gz with names",
        remedy="name the folder or file after the scan, or leave this scan out",
    )


def roi_files(path: str | Path, scan_id: str, names_file: str | Path | None = None) -> list[Path]:
    """Return the files that `load_rois` would read, where they are there; parameters as there."""
    path = Path(path)
    names = Path(names_file) if names_file is not None else path / "labels.json"
    label_maps = [path] if path.is_file() else [path / f"{scan_id}{extension}" for extension in EXTENSIONS]
    masks = nifti_files(path / scan_id) if (path / scan_id).is_dir() else []
    return [file for file in (*masks, *label_maps, names) if file.is_file()]


def read_names(names_file: str | Path) -> dict[int, str]:
    """Read the names of a label map's values.

    Parameters
    ----------
    names_file : str or Path
        A JSON object such as ``{"1": "spleen", "2": "kidney_right"}``.

    Returns
    -------
    dict of int to str
        Names made safe as keys, in the order of the file.

    Raises
    ------
    UsageError
        If it is no such file, or two values have one name.
    """
    try:
        entries = json.loads(Path(names_file).read_text(encoding="utf-8"))
        names = {int(value): name for value, name in entries.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise _bad_names(names_file, f"no table of names ({error})") from error
    if not names or not all(isinstance(name, str) and name for name in names.values()):
        raise _bad_names(names_file, "an empty table, or an entry that is no name")
    safe = {value: safe_name(name) for value, name in names.items()}
    if len(set(safe.values())) < len(entries):
        raise _bad_names(names_file, f"a name or value that occurs twice among {', '.join(safe.values())}")
    return safe


def _from_label_map(path: Path, grid: Grid, names_file: str | Path | None) -> dict[str, Mask]:
    if names_file is None:
        raise UsageError(
            path,
            got="a label map without names",
            allowed="a label map with a JSON file of names",
            remedy="add --roi-names FILE.json",
        )
    names = read_names(names_file)
    values, source = read_voxels(path)
    whole = np.rint(values)
    off = np.abs(values - whole) > ROUNDING * np.maximum(np.abs(whole), 1)
    if off.any():
        raise ScanError(
            path,
            got=f"a label map with fractions such as {values[off][0]:g}",
            allowed="whole numbers",
            remedy="resample label maps with the nearest voxel, and save them as integers",
        )
    values = whole
    unnamed = sorted({int(v) for v in np.unique(values)} - {0} - set(names))
    if unnamed:
        logger.warning(
            "%s: %d label values have no name and are no region: %s", path.name, len(unnamed), unnamed
        )
    placed = _onto(values, source, grid, path)
    return {name: np.asarray(placed == value) for value, name in names.items()}


def _from_masks(folder: Path, grid: Grid) -> dict[str, Mask]:
    files = nifti_files(folder)
    names = [safe_name(stem(file)) for file in files]
    if not files or len(set(names)) < len(names):
        raise ScanError(
            folder,
            got=f"masks of the same name among {', '.join(names)}" if files else "a folder without masks",
            allowed="one NAME.nii.gz for each region",
            remedy="rename or add masks, or leave this scan out",
        )
    return {name: _mask(file, grid) for name, file in zip(names, files, strict=True)}


def _mask(path: Path, grid: Grid) -> Mask:
    values, source = read_voxels(path)
    inside = np.abs(values) > ROUNDING * np.abs(values).max()
    contents = values[inside]
    if contents.size and np.ptp(contents) > ROUNDING * np.abs(contents).max():
        raise ScanError(
            path,
            got=f"a mask with values from {values.min():g} to {values.max():g}",
            allowed="0 and one other value",
            remedy="threshold it, or give a label map with labels.json",
        )
    return _onto(inside, source, grid, path)


def _onto(values: NDArray[Any], source: Grid, grid: Grid, path: Path) -> NDArray[Any]:
    share = overlap_share(source, grid)
    if share < LEAST_OVERLAP:
        raise ScanError(
            path,
            got=f"a mask that shares {share:.0%} of the scan's place in the world",
            allowed=f"at least {LEAST_OVERLAP:.0%} of the smaller of the two",
            remedy="check that mask and scan have the same name and that the mask kept the scan's affine",
        )
    return resample(values, source, grid, interpolation="nearest")


def _bad_names(names_file: str | Path, got: str) -> UsageError:
    return UsageError(
        names_file,
        got=got,
        allowed='a JSON object of values and distinct names, {"1": "spleen"}',
        remedy="write one entry for each region",
    )
