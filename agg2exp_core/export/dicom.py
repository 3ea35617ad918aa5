"""Results of a scan as DICOM objects that refer to the series which it is of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from agg2exp_core.dicom import Rules, Stack, group, read_headers, stack
from agg2exp_core.dicom.fileio import files_below, save
from agg2exp_core.errors import ScanError, UsageError
from agg2exp_core.export.nifti import Wanted, write_volumes
from agg2exp_core.pipeline.lookup import attribution_of, one_of, prediction_of
from agg2exp_core.store import ScanStore, Store, open_store
from agg2exp_core.types import Grid
from agg2exp_core.volumes import content_hash, resample, volume_of

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
        from agg2exp_core.dicom.parametric_map import MapContent, parametric_map
        from agg2exp_core.dicom.references import Author, source_images
        from agg2exp_core.dicom.segmentation import segmentation
    scan_store, model = store.scan(scan_id), store.model
    assert model is not None
    prediction, scan = prediction_of(scan_store), scan_store.image()
    _require_same_scan(scan_store, slices)
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
    identity = str(scan_store.prediction_identity())
    objects: dict[str, Dataset] = {
        "segmentation": segmentation(images, labels, prediction.class_names, author, identity)
    }
    for name in wanted.classes:
        values = attribution_of(scan_store, wanted.label, name)
        summed = values if values.ndim == 3 else values.sum(axis=0)
        explained = MapContent(
            name,
            wanted.label,
            store.labels()[wanted.label].method,
            scan_store.units(wanted.label)[name].identity,
        )
        on_series = resample(summed, scan.grid, scan.source, interpolation="linear")
        objects[f"{wanted.label}_{name}"] = parametric_map(images, on_series, explained, author)
    return objects


def export_dicom(
    store: str,
    scan_id: str | None,
    label: str | None,
    class_name: str | None,
    series: Path | None,
    out: Path,
    store_to: str | None = None,
) -> list[Path]:
    """Write the prediction, and with a class its attribution, as DICOM objects, and as NIfTI beside them.

    They refer to the images of the series and carry its patient's identity, which goes into them alone.

    Parameters
    ----------
    store : str
        Address of the store.
    scan_id, label, class_name : str, optional
        Which scan, which results, which class; where there is one, it need not be named.
    series : Path or None
        Folder of the series that was explained; without it nothing can be written.
    out : Path
        Folder for the files, whose names hold the scan's id alone.
    store_to : str, optional
        DICOMweb address of a PACS that the objects are stored in as well.

    Raises
    ------
    Agg2ExpError
        If there is no such scan, label or class, the series is of another scan or lacks what objects have to
        say, or the PACS does not take them.
    """
    with requiring_dicom():
        from agg2exp_core.dicom.web import store_objects, web_client
    if out.is_file() or out.suffix in (".csv", ".dcm", ".gz", ".nii"):
        raise UsageError("--out", got=str(out), allowed="a folder, with --dicom", remedy="name a folder")
    if series is None:
        raise UsageError(
            "--store-to",
            got="it without --dicom",
            allowed="both",
            remedy="name the folder of the scan's series",
        )
    if store_to is not None:
        web_client(store_to, "--store-to")
    opened = open_store(store)
    chosen = one_of("--scan-id", scan_id, opened.scans())
    results = one_of("--label", label, list(opened.labels())) if class_name is not None else ""
    wanted = Wanted(results, [class_name] if class_name is not None else [])
    objects = objects_of(opened, chosen, series_in(series), wanted)
    written = []
    for name, made in objects.items():
        written.append(out / f"{chosen}_{name}.dcm")
        save(written[-1], made)
    written += write_volumes(opened.scan(chosen), wanted, out)
    if store_to is not None:
        store_objects(store_to, list(objects.values()))
    return written


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


def _require_same_scan(scan_store: ScanStore, slices: Stack) -> None:
    """Refuse a series of another scan: its voxels, in order, and its grid have to be those explained."""
    volume = volume_of(slices, scan_store.scan_id)
    as_stored = Grid(volume.grid.shape, volume.grid.affine.astype(np.float32).astype(np.float64))
    same = {volume.content_hash, content_hash(volume.values, as_stored)}  # NIfTI keeps an affine in float32
    if scan_store.content_hash() not in same:
        raise ScanError(
            scan_store.scan_id,
            got="a series with other voxels or another grid",
            allowed="the series that was explained under this id",
            remedy="name its folder",
        )
