"""From a path to a scan that is ready for a model."""

from __future__ import annotations

from pathlib import Path

import torch

from agg2exp_core.errors import ScanError
from agg2exp_core.types import Scan, SegmentationModel
from agg2exp_core.volumes.discovery import scan_ids
from agg2exp_core.volumes.names import check_scan_id
from agg2exp_core.volumes.reading import read_volume


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
    volume = read_volume(path)
    image, affine = model.preprocessing(volume)
    model.check_channels(image, volume.path)
    _check_image(image, volume.path)
    return Scan(name, image, affine, volume.grid, volume.content_hash)


def _check_image(image: torch.Tensor, where: str) -> None:
    if image.numel() == 0 or not bool(torch.isfinite(image).all()) or bool(image.min() == image.max()):
        raise ScanError(
            where,
            got=f"an empty, constant or not finite image {list(image.shape)} after preprocessing",
            allowed="finite intensities that vary",
            remedy="check that the scan shows what the model was trained on, in its units",
        )
