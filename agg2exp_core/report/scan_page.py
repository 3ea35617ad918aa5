"""The page of a scan: its rows, its flags, pictures, and volumes for the viewer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from agg2exp_core.figures.planes import OUTLINE, colour_stops
from agg2exp_core.labels import BACKGROUND, colour_of, readable
from agg2exp_core.pipeline.display import summed_voxels
from agg2exp_core.report.browser_volumes import (
    ATTRIBUTION_BYTES,
    packed_attribution,
    packed_hounsfield,
    packed_image,
    packed_labels,
)
from agg2exp_core.report.inputs import Analyses
from agg2exp_core.report.intensities import HU_STEP, WINDOWS, attribution_unit, in_hounsfield_units
from agg2exp_core.report.output import Output
from agg2exp_core.report.overlays import ScanVoxels, overlay_pictures, voxels_of
from agg2exp_core.report.scan_sections import (
    doubts_section,
    flags_section,
    overlays_section,
    row_section,
    rows_beside,
    volume_section,
)
from agg2exp_core.report.sections import Link, Page, Viewer
from agg2exp_core.store import Store

N_PICTURES = 4
"""Classes of a scan that are drawn on three planes: abnormal ones first, then in the model's order."""


@dataclass(frozen=True, eq=False)
class Beside:
    """What a scan is seen beside: the normal range of each share, its source in words, the analyses."""

    label: str
    normal: pd.DataFrame
    source: str
    analyses: Analyses


def scan_page(
    out: Output,
    store: Store,
    local: xr.Dataset,
    beside: Beside,
    links: Sequence[Link],
    has_volume: bool,
) -> Page:
    """Write the pictures and volumes of a scan into a report; return its page.

    Parameters
    ----------
    out : Output
    store : Store
        The voxels of the scan may be missing there.
    local : Dataset, dims (target, roi)
        The scan's matrix, with its id as the coordinate ``scan``.
    beside : Beside
    links : sequence of Link
    has_volume : bool
        Whether its voxels are shown.
    """
    mass, label, analyses = local["mass"], beside.label, beside.analyses
    scan_store = store.scan(str(local["scan"].values))
    scan_id = scan_store.scan_id
    explained = [str(name) for name in mass["target"].values if bool(mass.sel(target=name).notnull().any())]
    first = _first_reason(scan_id, explained, analyses)
    ordered = _abnormal_first(scan_id, explained, analyses)
    remarks = scan_store.remarks()
    if first is not None:
        ordered = [first.target, *(name for name in ordered if name != first.target)]
    sections = [
        *([doubts_section(remarks)] if remarks else []),
        flags_section(scan_id, analyses),
        row_section(rows_beside(mass, beside.normal), beside.source),
    ]
    facts = {"Scan": scan_id, "Method": label, "Classes explained": str(len(explained))}
    viewer = None
    voxels = voxels_of(scan_store) if has_volume else None
    if voxels is None:
        sections.append(volume_section(None))
    else:
        units, n_voxels, grid = scan_store.units(label), voxels.prediction.n_voxels, voxels.scan.grid
        drawn = [name for name in ordered if name in units and n_voxels.get(name)][:N_PICTURES]
        stems = {name: f"{label}/pictures/{scan_id}/{name}" for name in drawn}
        viewer, spacing_mm = _viewer(out, store, voxels, label, explained, first)
        sections.append(volume_section(spacing_mm, "" if first is None else first.sentence))
        sections.append(overlays_section(overlay_pictures(out, store, voxels, label, stems)))
        facts["Size"] = f"{' x '.join(map(str, grid.shape))} voxels"
        facts["Voxel"] = f"{' x '.join(f'{mm:.3g}' for mm in grid.spacing_mm)} mm"
    title = f"{scan_id}: what the model looked at"
    return Page(title, facts, links, sections, explained=ordered, viewer=viewer)


@dataclass(frozen=True)
class _Reason:
    """Why a scan is flagged, in the class that its page opens on."""

    target: str
    roi: str
    sentence: str


def _first_reason(scan_id: str, explained: Sequence[str], analyses: Analyses) -> _Reason | None:
    """Return the first reason of a flagged scan that is about an explained class."""
    scans, reasons = analyses.table("scans"), analyses.table("reasons")
    if scans is None or reasons is None or not scans.loc[scans["scan"] == scan_id, "flagged"].any():
        return None
    mine = reasons[(reasons["scan"] == scan_id) & reasons["class"].isin(explained)]
    if mine.empty:
        return None
    row = mine.iloc[0]
    return _Reason(str(row["class"]), str(row["roi"]), str(row["sentence"]))


def _abnormal_first(scan_id: str, explained: Sequence[str], analyses: Analyses) -> list[str]:
    outliers = analyses.table("outliers")
    inner = sorted(explained, key=lambda name: name == BACKGROUND)
    if outliers is None:
        return inner
    mine = outliers[(outliers["scan"] == scan_id) & outliers["flagged"].astype(bool)]
    scores = dict(zip(mine["class"], mine["score"], strict=True))
    return sorted(inner, key=lambda name: -scores.get(name, -np.inf))


def _viewer(
    out: Output,
    store: Store,
    voxels: ScanVoxels,
    label: str,
    explained: Sequence[str],
    first: _Reason | None,
) -> tuple[Viewer, tuple[float, float, float]]:
    """Write the volumes of a scan; return what the viewer shows, and the image's edges of voxels in mm."""
    scan_store, scan, prediction = voxels.scan_store, voxels.scan, voxels.prediction
    place, grid = f"volumes/{scan_store.scan_id}", scan.grid
    hu = in_hounsfield_units(voxels.image, (store.model or {}).get("preprocessing"))
    grey = packed_image(voxels.image, grid) if hu is None else packed_hounsfield(hu, grid, HU_STEP)
    on = first and (_busiest_mm(voxels, first.roi) or _busiest_mm(voxels, first.target))
    corners = np.array([[0, 0, 0], np.array(grid.shape) - 1])
    world = corners @ scan.affine[:3, :3].T + scan.affine[:3, 3]
    data = {
        "scan": scan_store.scan_id,
        "image": out.write_volume(f"{place}/image.js", grey),
        "prediction": out.write_volume(f"{place}/prediction.js", packed_labels(prediction.labels, grid)),
        "labels": [
            {"name": name, "title": readable(name), "colour": colour_of(name)}
            for name in prediction.class_names
        ],
        "windows": {} if hu is None else {name: list(window) for name, window in WINDOWS.items()},
        "classes": _class_volumes(out, voxels, label, explained),
        "first": first and {"name": first.target, "centre_mm": on},
        "unit": attribution_unit(store.labels()[label].method),
        "colours": colour_stops(),
        "tint": OUTLINE,
        "centre_mm": world.mean(axis=0).round(2).tolist(),
        "step_mm": min(grey.spacing_mm),
        "bounds_mm": np.sort(world, axis=0).T.round(2).tolist(),
    }
    return Viewer(data), grey.spacing_mm


def _class_volumes(
    out: Output, voxels: ScanVoxels, label: str, explained: Sequence[str]
) -> list[dict[str, Any]]:
    scan_store, grid = voxels.scan_store, voxels.scan.grid
    units = scan_store.units(label)
    n_bytes = ATTRIBUTION_BYTES // max(1, sum(name in units for name in explained))
    classes = []
    for name in explained:
        entry: dict[str, Any] = {"name": name, "title": readable(name), "address": None}
        if name in units:
            volume = packed_attribution(summed_voxels(scan_store, label, name), grid, n_bytes)
            entry["address"] = out.write_volume(f"volumes/{scan_store.scan_id}/{label}/{name}.js", volume)
        place = _busiest_mm(voxels, name)
        if place is not None:
            entry["centre_mm"] = place
        classes.append(entry)
    return classes


def _busiest_mm(voxels: ScanVoxels, name: str) -> list[float] | None:
    """Return where the slices with most of a class meet, in RAS mm; None for one without a voxel."""
    if not voxels.prediction.n_voxels.get(name):
        return None
    mask = voxels.prediction.mask(name)
    voxel = [int(np.argmax(mask.sum(axis=tuple(a for a in range(3) if a != axis)))) for axis in range(3)]
    world = voxels.scan.affine @ np.array([*voxel, 1.0])
    return [round(float(mm), 2) for mm in world[:3]]
