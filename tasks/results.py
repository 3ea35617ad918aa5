"""Results of a scan as DICOM objects that refer to the series which it is of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from agg2exp_core.dicom import Rules, Stack, group, read_headers, stack
from agg2exp_core.dicom.headers import files_below
from agg2exp_core.errors import ScanError, UsageError
from agg2exp_core.store import ScanStore, Store
from agg2exp_core.types import Grid
from agg2exp_core.volumes import content_hash, resample, volume_of
from tasks.nifti import Wanted
from tasks.reading import attribution_of, prediction_of

_ANY = Rules(min_slices=2, slice_spacing_mm=(0.01, 100.0))
"""What was explained was wanted once: by its voxels it is known again."""


@contextmanager
def requiring_dicom() -> Iterator[None]:
    """Say what to install where the libraries of results are not.

    Raises
    ------
    UsageError
        If a library is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise UsageError(
            "--dicom",
            got=f"results as DICOM, for which {error.name} is not installed",
            allowed="an installation with the extra dicom",
            remedy="pip install agg2exp[dicom]",
        ) from None


def objects_of(store: Store, scan_id: str, slices: Stack, wanted: Wanted) -> Mapping[str, Dataset]:
    """Return the prediction as a Segmentation and attributions as Parametric Maps, by name.

    Parameters
    ----------
    store : Store
        Where the results are.
    scan_id : str
        Of which scan.
    slices : Stack
        The series that the scan is of.
    wanted : Wanted
        Which attributions.

    Raises
    ------
    UsageError
        If there is no such result.
    ScanError
        If the series is of another scan, or lacks what the objects have to say.
    """
    with requiring_dicom():
        from agg2exp_core.dicom.parametric_map import Explained, parametric_map
        from agg2exp_core.dicom.references import Author, source_images
        from agg2exp_core.dicom.segmentation import segmentation
    there, model = store.scan(scan_id), store.model
    assert model is not None
    prediction, scan = prediction_of(there), there.image()
    _require_same_scan(there, slices)
    author = Author(model["name"], model["fingerprint"])
    images = source_images(slices)
    labels = resample(prediction.labels, scan.grid, scan.source, interpolation="nearest")
    if not labels.any():
        raise ScanError(
            scan_id,
            got="a prediction that is nothing but background",
            allowed="a class that was found",
            remedy="there is nothing to hand back",
        )
    identity = str(there.prediction_identity())
    objects: dict[str, Dataset] = {
        "segmentation": segmentation(images, labels, prediction.class_names, author, identity)
    }
    for name in wanted.classes:
        values = attribution_of(there, wanted.label, name)
        summed = values if values.ndim == 3 else values.sum(axis=0)
        explained = Explained(
            name, wanted.label, store.labels()[wanted.label].method, there.units(wanted.label)[name].identity
        )
        on_series = resample(summed, scan.grid, scan.source, interpolation="linear")
        objects[f"{wanted.label}_{name}"] = parametric_map(images, on_series, explained, author)
    return objects


def series_in(folder: Path) -> Stack:
    """Return the one usable series of a folder tree.

    Raises
    ------
    UsageError
        If there is no such folder.
    ScanError
        If no series or more than one is usable.
    """
    if not folder.is_dir():
        raise UsageError(
            "--dicom",
            got=f"{folder}, " + ("a file" if folder.exists() else "where there is nothing"),
            allowed="the folder of the series that was explained",
            remedy="check the path for a typo",
        )
    headers, strays = read_headers(files_below(folder))
    refused: list[ScanError] = [stray.error for stray in strays]
    usable: list[Stack] = []
    for series in group(headers):
        try:
            usable.append(stack(series, _ANY))
        except ScanError as refusal:
            refused.append(refusal)
    if len(usable) == 1:
        return usable[0]
    if len(refused) == 1 and not usable:
        raise refused[0]
    raise ScanError(
        folder,
        got=f"{len(usable)} usable CT series",
        allowed="the folder of the series that was explained",
        remedy="name the folder of that series alone",
    )


def _require_same_scan(there: ScanStore, slices: Stack) -> None:
    """Refuse a series of another scan: its voxels, in order, and its grid have to be those explained."""
    volume = volume_of(slices, there.scan_id)
    as_stored = Grid(volume.grid.shape, volume.grid.affine.astype(np.float32).astype(np.float64))
    same = {volume.content_hash, content_hash(volume.values, as_stored)}  # NIfTI keeps an affine in float32
    if there.content_hash() not in same:
        raise ScanError(
            there.scan_id,
            got="a series with other voxels or another grid",
            allowed="the series that was explained under this id",
            remedy="name its folder",
        )
