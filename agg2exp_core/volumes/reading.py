"""From a path, a NIfTI file or a folder with a DICOM series, to a volume, and to a scan ready for a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from agg2exp_core.dicom import (
    NotWantedError,
    Rules,
    Stack,
    Stray,
    files_below,
    files_in,
    group,
    holds_dicom,
    read_headers,
    read_hu,
    stack,
)
from agg2exp_core.errors import ScanError
from agg2exp_core.memory import require_memory
from agg2exp_core.types import Scan, SegmentationModel, Volume
from agg2exp_core.volumes.discovery import check_scan_id, scan_ids
from agg2exp_core.volumes.nifti_reader import content_hash, look_at_nifti, read_nifti, refuse_constant

_MOST_NAMED = 3
"""Files or series that one message names."""


def load_scan(path: str | Path, model: SegmentationModel, scan_id: str | None = None) -> Scan:
    """Read a scan and preprocess it for a model.

    Parameters
    ----------
    path : str or Path
        A NIfTI file, or a folder with a DICOM series.
    model : SegmentationModel
        Its preprocessing is applied.
    scan_id : str, optional
        Name of the scan; by default the name of the file without its extension, or of the folder.

    Returns
    -------
    Scan
        Image ``[C, X, Y, Z]`` in the model's orientation, and the grid of the file.

    Raises
    ------
    ScanError
        If the scan cannot be used, or leaves no finite, varying image after preprocessing.
    ModelError
        If the image has other channels than the model takes.
    UsageError
        If `scan_id` cannot name a scan.
    """
    name = scan_ids([Path(path)])[0] if scan_id is None else check_scan_id(scan_id)
    return prepared(read_volume(path), model, name)


def prepared(volume: Volume, model: SegmentationModel, scan_id: str) -> Scan:
    """Preprocess a volume for a model; parameters and errors are those of `load_scan`."""
    image, affine = model.preprocessing(volume)
    model.check_channels(image, volume.path)
    _check_image(image, volume.path)
    return Scan(scan_id, image, affine, volume.grid, volume.content_hash)


def read_volume(path: str | Path) -> Volume:
    """Read a scan.

    Parameters
    ----------
    path : str or Path
        A NIfTI file, or a folder that holds the files of one usable CT series in DICOM, or, if there is no
        DICOM in it, whose tree does. Localizers, derived series, and what is no DICOM may lie beside it.

    Returns
    -------
    Volume
        Float32 values ``[X, Y, Z]``; for DICOM the axes are columns, rows and slices, in Hounsfield units.

    Raises
    ------
    ScanError
        As `read_nifti` and `read_series` do.
    """
    path = Path(path)
    return read_series(path) if path.is_dir() else read_nifti(path)


def count_channels(path: str | Path) -> int:
    """Return the channels of a scan from its headers; no voxel is read.

    Parameters
    ----------
    path : str or Path
        As `read_volume` takes it.

    Raises
    ------
    ScanError
        As `read_volume` does, of what headers show.
    """
    path = Path(path)
    if path.is_dir():
        find_series(path, Rules())
        return 1
    return look_at_nifti(path).n_channels


def read_series(folder: Path, rules: Rules | None = None) -> Volume:
    """Read the one usable series of a folder tree.

    Parameters
    ----------
    folder : Path
        DICOM files in it or, if there are none, at any depth.
    rules : Rules, optional
        Which series are usable.

    Raises
    ------
    ScanError
        If no series or more than one is usable, or its slices cannot be read or span no grid.
    """
    return volume_of(find_series(folder, rules or Rules()), str(folder))


def find_series(folder: Path, rules: Rules) -> Stack:
    """Find the one usable series of a folder tree by its headers; parameters and errors as `read_series`."""
    headers, strays = read_headers(files_in(folder) if holds_dicom(folder) else files_below(folder))
    for stray in strays:
        if not isinstance(stray.error, NotWantedError):
            raise stray.error
    usable: list[Stack] = []
    refusals: list[NotWantedError] = []
    for series in group(headers):
        try:
            usable.append(stack(series, rules))
        except NotWantedError as refusal:
            refusals.append(refusal)
    if len(usable) != 1:
        raise _not_one(folder, usable, refusals, strays)
    return usable[0]


def volume_of(slices: Stack, where: str) -> Volume:
    """Read the voxels of a stack.

    Raises
    ------
    ScanError
        If they cannot be decoded, do not fit in memory, or are all the same.
    """
    sizes = " x ".join(map(str, slices.grid.shape))
    require_memory(where, 6.0 * np.prod(slices.grid.shape), f"a series of {sizes} voxels")
    values = read_hu(slices).astype(np.float32, copy=False)
    refuse_constant(values, where)
    return Volume(values, slices.grid, content_hash(values, slices.grid), where)


def _not_one(
    folder: Path, usable: Sequence[Stack], refusals: Sequence[ScanError], strays: Sequence[Stray]
) -> ScanError:
    if usable:
        sizes = ", ".join(" x ".join(map(str, slices.grid.shape)) for slices in usable[:_MOST_NAMED])
        got, remedy = f"{len(usable)} usable series ({sizes})", "name the folder of one of them"
    elif refusals:
        reasons = ", ".join(f"{refusal.got} (not {refusal.allowed})" for refusal in refusals[:_MOST_NAMED])
        got, remedy = f"{len(refusals)} DICOM series, none usable: {reasons}", "export another series"
    else:
        names = ", ".join(stray.path.name for stray in strays[:_MOST_NAMED])
        got = f"a folder of {len(strays)} files without DICOM ({names})" if strays else "an empty folder"
        remedy = "check the path for a typo"
    return ScanError(folder, got=got, allowed="one CT series with its slices", remedy=remedy)


def _check_image(image: torch.Tensor, where: str) -> None:
    if image.numel() == 0 or not bool(torch.isfinite(image).all()) or bool(image.min() == image.max()):
        raise ScanError(
            where,
            got=f"an empty, constant or not finite image {list(image.shape)} after preprocessing",
            allowed="finite intensities that vary",
            remedy="check that the scan shows what the model was trained on, in its units",
        )
