"""OME-Zarr (NGFF 0.5) metadata of images and label images. Axes: docs/decisions/0002-ome-zarr-axes.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

VERSION = "0.5"
SPACE_AXES = ("x", "y", "z")
IMAGE_AXES = ("c", *SPACE_AXES)


def image_metadata(name: str, spacing_mm: tuple[float, float, float]) -> dict[str, Any]:
    """Return the "ome" attribute of an image group with one resolution ``0`` of axes (c, x, y, z)."""
    return {"version": VERSION, "multiscales": [_multiscale(name, (1.0, *spacing_mm), IMAGE_AXES)]}


def label_metadata(name: str, spacing_mm: tuple[float, float, float]) -> dict[str, Any]:
    """Return the "ome" attribute of a label image with axes (x, y, z), two levels below its image."""
    return {
        "version": VERSION,
        "multiscales": [_multiscale(name, spacing_mm, SPACE_AXES)],
        "image-label": {"source": {"image": "../../"}},
    }


def labels_metadata(names: Iterable[str]) -> dict[str, Any]:
    """Return the "ome" attribute of the group that holds the label images."""
    return {"version": VERSION, "labels": sorted(names)}


def _multiscale(name: str, scale: Sequence[float], axes: Sequence[str]) -> dict[str, Any]:
    return {
        "name": name,
        "axes": [
            {"name": axis, "type": "space", "unit": "millimeter"}
            if axis in SPACE_AXES
            else {"name": axis, "type": "channel"}
            for axis in axes
        ],
        "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": list(scale)}]}],
    }
