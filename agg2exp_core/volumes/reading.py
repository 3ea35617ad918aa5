"""From a path, a NIfTI file or a folder with a DICOM series, to a volume, and to a scan ready for a model."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
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
    is_dicom,
    read_headers,
    read_hu,
    stack,
)
from agg2exp_core.errors import ScanError
from agg2exp_core.memory import require_memory
from agg2exp_core.remarks import Remark, settled
from agg2exp_core.types import Affine, Preprocessing, Scan, SegmentationModel, Volume
from agg2exp_core.volumes.discovery import check_scan_id, scan_ids
from agg2exp_core.volumes.nifti_reader import content_hash, look_at_nifti, read_nifti, refuse_constant
from agg2exp_core.volumes.plausibility import remarks_on

_MOST_NAMED = 3
"""Files or series that one message names."""


def load_scan(
    path: str | Path,
    model: SegmentationModel,
    scan_id: str | None = None,
    accept: Collection[str] = (),
) -> Scan:
    """Read a scan and preprocess it for a model.

    Parameters
    ----------
    path : str or Path
        A NIfTI file, or a folder with a DICOM series.
    model : SegmentationModel
        Its preprocessing is applied.
    scan_id : str, optional
        Name of the scan; by default the name of the file without its extension, or of the folder.
    accept : collection of {"hu", "modality"}
        Doubts that do not refuse the scan: that it is no CT in Hounsfield units, or of another modality
        than the model's.

    Returns
    -------
    Scan
        Image ``[C, X, Y, Z]`` in the model's orientation, the grid of the file, and what is doubtful.

    Raises
    ------
    ScanError
        If the scan cannot be used or its intensities are not what the model's preprocessing expects, or it
        leaves no finite, varying image after preprocessing.
    ModelError
        If the image has other channels than the model takes.
    UsageError
        If `scan_id` cannot name a scan.
    """
    name = scan_ids([Path(path)])[0] if scan_id is None else check_scan_id(scan_id)
    return prepared(read_for(model, path), model, name, accept)


def read_for(model: SegmentationModel, path: str | Path) -> Volume:
    """Read a scan on the grid that the model's own reader sees; errors are those of `read_volume`."""
    return read_volume(path, getattr(model.preprocessing, "geometry", "nifti"))


def prepared(volume: Volume, model: SegmentationModel, scan_id: str, accept: Collection[str] = ()) -> Scan:
    """Preprocess a volume for a model; parameters and errors are those of `load_scan`."""
    image, affine, remarks = preprocess(volume, model.preprocessing, accept)
    model.check_channels(image, volume.path)
    _check_image(image, volume.path)
    return Scan(scan_id, image, affine, volume.grid, volume.content_hash, (*volume.remarks, *remarks))


def preprocess(
    volume: Volume, preprocessing: Preprocessing, accept: Collection[str] = ()
) -> tuple[torch.Tensor, Affine, tuple[Remark, ...]]:
    """Return the image ``[C, X, Y, Z]`` of a volume, its affine, and what is doubtful about its intensities.

    Raises
    ------
    ScanError
        If the intensities are not what the preprocessing expects, and that is not accepted, or it fails.
    """
    remarks = settled(remarks_on(volume, preprocessing), volume.path, ScanError, accept)
    image, affine = preprocessing(volume)
    return image, affine, remarks


def read_volume(path: str | Path, geometry: str = "nifti") -> Volume:
    """Read a scan.

    Parameters
    ----------
    path : str or Path
        A NIfTI file, or a folder that holds the files of one usable CT series in DICOM, or, if there is no
        DICOM in it, whose tree does. Localizers, derived series, and what is no DICOM may lie beside it. Or
        one DICOM file: its series is then read from its folder.
    geometry : {"nifti", "itk", "zooms"}
        Whose grid a NIfTI file has where its header tells several: see `read_nifti`.

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
    if path.is_dir():
        return read_series(path)
    if path.is_file() and is_dicom(path):
        return read_series(path.parent, one_of=path)
    return read_nifti(path, geometry)


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
        _find_series(path, Rules())
    elif path.is_file() and is_dicom(path):
        _find_series(path.parent, Rules(), one_of=path)
    else:
        return look_at_nifti(path).n_channels
    return 1


def read_series(folder: Path, rules: Rules | None = None, one_of: Path | None = None) -> Volume:
    """Read the one usable series of a folder tree.

    Parameters
    ----------
    folder : Path
        DICOM files in it or, if there are none, at any depth.
    rules : Rules, optional
        Which series are usable.
    one_of : Path, optional
        A file of the series that is meant, where there are several.

    Raises
    ------
    ScanError
        If no series or more than one is usable, or its slices cannot be read or span no grid.
    """
    slices, refusals = _find_series(folder, rules or Rules(), one_of)
    volume = volume_of(slices, str(folder))
    left_out = [f"a series left out: {refusal.got}" for refusal in refusals if _is_telling(refusal)]
    return replace(
        volume, remarks=(*volume.remarks, *(Remark("series", text) for text in left_out[:_MOST_NAMED]))
    )


def _find_series(folder: Path, rules: Rules, one_of: Path | None = None) -> tuple[Stack, list[ScanError]]:
    """Return the one usable series of a folder tree by its headers, and why others are not usable."""
    headers, strays = read_headers(files_in(folder) if holds_dicom(folder) else files_below(folder))
    for stray in strays:
        if not isinstance(stray.error, NotWantedError):
            raise stray.error
    usable: list[Stack] = []
    refusals: list[ScanError] = []
    for series in group(headers):
        if one_of is None or one_of in (header.path for header in series.headers):
            try:
                usable.append(stack(series, rules))
            except ScanError as refusal:
                refusals.append(refusal)
    if len(usable) != 1:
        broken = [error for error in refusals if not isinstance(error, NotWantedError)]
        raise broken[0] if broken and not usable else _not_one(folder, usable, refusals, strays)
    return usable[0], refusals


def _is_telling(refusal: ScanError) -> bool:
    """Say whether a series beside the usable one could have been a scan: a localizer could not."""
    return not isinstance(refusal, NotWantedError)


def volume_of(slices: Stack, where: str) -> Volume:
    """Read the voxels of a stack.

    Raises
    ------
    ScanError
        If they cannot be decoded, do not fit in memory, or are all the same.
    """
    sizes = " x ".join(map(str, slices.grid.shape))
    require_memory(where, 6.0 * np.prod(slices.grid.shape), f"a series of {sizes} voxels")
    hu, n_padded = read_hu(slices)
    values = hu.astype(np.float32, copy=False)
    refuse_constant(values, where)
    remarks = slices.remarks
    if n_padded:
        text = f"{n_padded} voxels of padding that would have been brighter than air are read as air"
        remarks = (*remarks, Remark("padding", text))
    return Volume(values, slices.grid, content_hash(values, slices.grid), where, remarks)


def _not_one(
    folder: Path, usable: Sequence[Stack], refusals: Sequence[ScanError], strays: Sequence[Stray]
) -> ScanError:
    if usable:
        sizes = ", ".join(" x ".join(map(str, slices.grid.shape)) for slices in usable[:_MOST_NAMED])
        got = f"{len(usable)} usable series ({sizes})"
        remedy = "name one file of the series that you mean, or let `agg2exp ingest` take each as a scan"
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
