"""The page of a scan: its rows, its flags, pictures, and volumes for the viewer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from agg2exp_core.figures import overlay, to_png
from agg2exp_core.labels import colour_of, readable
from agg2exp_core.report.analyses import Analyses
from agg2exp_core.report.browser_volumes import (
    ATTRIBUTION_BYTES,
    packed_attribution,
    packed_image,
    packed_labels,
)
from agg2exp_core.report.content import BACKGROUND
from agg2exp_core.report.folder import Link, Page, ReportFolder, Viewer
from agg2exp_core.report.scan_sections import (
    flags_section,
    pictures_section,
    row_section,
    rows_beside,
    volume_section,
)
from agg2exp_core.report.sections import Picture
from agg2exp_core.store import ScanStore, Store
from agg2exp_core.types import FloatVolume, Prediction, Scan
from tasks.voxels import shown_rule, shown_voxels

N_PICTURES = 4
"""Classes of a scan that are drawn on three planes: abnormal ones first, then in the model's order."""
PICTURE_DPI = 80


@dataclass(frozen=True, eq=False)
class Beside:
    """What a scan is seen beside: the normal range of each share, its source in words, the analyses."""

    label: str
    normal: pd.DataFrame
    source: str
    analyses: Analyses


def scan_page(
    folder: ReportFolder,
    store: Store,
    scan_id: str,
    local: xr.Dataset,
    beside: Beside,
    links: Sequence[Link],
    has_volume: bool,
) -> Page:
    """Write the pictures and volumes of a scan into a report; return its page.

    Parameters
    ----------
    folder : ReportFolder
    store : Store
    scan_id : str
        Of the scan; its voxels may be missing.
    local : Dataset, dims (target, roi)
        The scan's matrix.
    beside : Beside
    links : sequence of Link
    has_volume : bool
        Whether its voxels are shown.
    """
    mass, label, analyses = local["mass"], beside.label, beside.analyses
    there = store.scan(scan_id)
    explained = [str(name) for name in mass["target"].values if bool(mass.sel(target=name).notnull().any())]
    ordered = _abnormal_first(there.scan_id, explained, analyses)
    prediction = there.prediction() if has_volume and there.content_hash() is not None else None
    sections = [
        flags_section(there.scan_id, analyses),
        row_section(rows_beside(mass, beside.normal), beside.source),
    ]
    facts = {"Scan": there.scan_id, "Method": label, "Classes explained": str(len(explained))}
    viewer = None
    if prediction is not None:
        scan = there.image()
        image = np.asarray(scan.image[0].numpy())
        pictures = _pictures(folder, store, there, label, image, scan, prediction, ordered)
        viewer, spacing = _viewer(folder, there, label, image, scan, prediction, explained)
        sections += [volume_section(spacing), pictures_section(pictures)]
        facts["Size"] = f"{' x '.join(map(str, scan.grid.shape))} voxels"
        facts["Voxel"] = f"{' x '.join(f'{mm:.3g}' for mm in scan.grid.spacing_mm)} mm"
    else:
        sections.append(volume_section(None))
    title = f"{there.scan_id}: what the model looked at"
    return Page(title, facts, links, sections, explained=ordered, viewer=viewer)


def _abnormal_first(scan_id: str, explained: Sequence[str], analyses: Analyses) -> list[str]:
    outliers = analyses.table("outliers")
    inner = sorted(explained, key=lambda name: name == BACKGROUND)
    if outliers is None:
        return inner
    mine = outliers[(outliers["scan"] == scan_id) & outliers["flagged"].astype(bool)]
    scores = dict(zip(mine["class"], mine["score"], strict=True))
    return sorted(inner, key=lambda name: -scores.get(name, -np.inf))


def _values(there: ScanStore, label: str, name: str) -> FloatVolume:
    values = np.asarray(there.attribution(label, name).compute())
    return np.asarray(values if values.ndim == 3 else values.sum(axis=0))


def _pictures(
    folder: ReportFolder,
    store: Store,
    there: ScanStore,
    label: str,
    image: FloatVolume,
    scan: Scan,
    prediction: Prediction,
    ordered: Sequence[str],
) -> list[Picture]:
    units, n_voxels = there.units(label), prediction.n_voxels
    pictures = []
    for name in [name for name in ordered if name in units and n_voxels.get(name)][:N_PICTURES]:
        values, percentile = shown_voxels(store, there, label, name, prediction)
        figure = overlay(
            image,
            values,
            prediction.mask(name),
            title=f"{there.scan_id}: why {readable(name)}?",
            affine=scan.affine,
            percentile=percentile,
        )
        address = folder.write(f"{label}/pictures/{there.scan_id}/{name}.png", to_png(figure, PICTURE_DPI))
        caption = f"{there.scan_id}: attribution of {readable(name)} on three planes"
        explanation = f"Shown is {shown_rule(store, label)}; the prediction is outlined in yellow."
        pictures.append(Picture(address, caption, explanation))
    return pictures


def _viewer(
    folder: ReportFolder,
    there: ScanStore,
    label: str,
    image: FloatVolume,
    scan: Scan,
    prediction: Prediction,
    explained: Sequence[str],
) -> tuple[Viewer, tuple[float, float, float]]:
    units, n_voxels = there.units(label), prediction.n_voxels
    n_units = max(1, len([name for name in explained if name in units]))
    place = f"volumes/{there.scan_id}"
    grey = packed_image(image, scan.grid)
    classes: list[dict[str, Any]] = []
    for name in explained:
        entry: dict[str, Any] = {"name": name, "title": readable(name), "address": None}
        if name in units:
            volume = packed_attribution(_values(there, label, name), scan.grid, ATTRIBUTION_BYTES // n_units)
            entry["address"] = folder.write_volume(f"{place}/{label}/{name}.js", volume)
        if n_voxels.get(name):
            entry["centre_mm"] = _busiest_mm(prediction, name, scan)
        classes.append(entry)
    corners = np.array([[0, 0, 0], np.array(scan.grid.shape) - 1])
    world = corners @ scan.affine[:3, :3].T + scan.affine[:3, 3]
    data = {
        "scan": there.scan_id,
        "image": folder.write_volume(f"{place}/image.js", grey),
        "prediction": folder.write_volume(
            f"{place}/prediction.js", packed_labels(prediction.labels, scan.grid)
        ),
        "labels": [
            {"name": name, "title": readable(name), "colour": colour_of(name)}
            for name in prediction.class_names
        ],
        "classes": classes,
        "centre_mm": world.mean(axis=0).round(2).tolist(),
        "bounds_mm": np.sort(world, axis=0).T.round(2).tolist(),
    }
    return Viewer(data), grey.spacing_mm


def _busiest_mm(prediction: Prediction, name: str, scan: Scan) -> list[float]:
    """Return the point where the slices with most of a class meet, in RAS mm."""
    mask = prediction.mask(name)
    voxel = [int(np.argmax(mask.sum(axis=tuple(a for a in range(3) if a != axis)))) for axis in range(3)]
    world = scan.affine @ np.array([*voxel, 1.0])
    return [round(float(mm), 2) for mm in world[:3]]
