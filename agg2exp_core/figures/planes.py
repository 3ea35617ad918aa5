"""A scan, an attribution and a prediction on the three planes through the slices with most of a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.patheffects import withStroke
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from numpy.typing import NDArray

from agg2exp_core.errors import UsageError, out_of_range
from agg2exp_core.types import Affine, FloatVolume, Grid, Mask

DIVERGING = LinearSegmentedColormap.from_list(
    "against_and_for", ["#67e8ff", "#2f8bff", "#1c1cc8", "#c81c1c", "#ff5a2f", "#ffb067"]
)
PAGE = "#0b0d10"
"""Colour behind scans."""
OUTLINE = "#3dff7a"
"""Colour of the predicted class: attributions never have it."""
_PAPER_SHARE_OF_PEAK = 0.01


@dataclass(frozen=True)
class Plane:
    """A plane of the body as radiologists look at it.

    Parameters
    ----------
    name : str
    normal : int
        The axis of a RAS volume that the plane cuts.
    edges : tuple of str
        Letters at the left, right, top and bottom of the picture.
    """

    name: str
    normal: int
    edges: tuple[str, str, str, str]

    def cut(self, volume: NDArray[Any], index: int) -> NDArray[Any]:
        """Return slice `index` of a RAS volume as a picture ``[rows, columns]``, the top row first.

        The patient's right, or the front, is on the left (radiological convention).
        """
        # axes grow towards right, front and head; pictures from the top down, with the right on the left
        return np.asarray(np.take(volume, index, axis=self.normal).T[::-1, ::-1])

    def size_mm(self, grid: Grid) -> tuple[float, float]:
        """Return width and height of the picture."""
        width, height = (grid.shape[axis] * grid.spacing_mm[axis] for axis in range(3) if axis != self.normal)
        return width, height


PLANES = (
    Plane("axial", 2, ("R", "L", "A", "P")),
    Plane("coronal", 1, ("R", "L", "S", "I")),
    Plane("sagittal", 0, ("A", "P", "S", "I")),
)


@dataclass(frozen=True, eq=False)
class Cut:
    """What is seen of one scan and class.

    Parameters
    ----------
    grid : Grid
        Of the volumes the slices are from, turned to the nearest RAS axes.
    indices : tuple of int
        The slice of each of `PLANES`, with most of the class.
    image, values, shown, outlined : tuple of ndarray, shape [rows, columns]
        A picture a plane: grey values 0 to 1, attribution, opacity, prediction.
    limit : float
        Attribution at the ends of the colour scale.
    """

    grid: Grid
    indices: tuple[int, ...]
    image: tuple[NDArray[Any], ...]
    values: tuple[NDArray[Any], ...]
    shown: tuple[NDArray[Any], ...]
    outlined: tuple[NDArray[Any], ...]
    limit: float


def cut(
    image: FloatVolume,
    values: FloatVolume,
    mask: Mask,
    affine: Affine,
    *,
    percentile: float = 95.0,
    paper_threshold: bool = False,
) -> Cut:
    """Cut a scan through the slices with most of a class; parameters and errors are those of `overlay`."""
    _check(image, values, mask, percentile)
    turn = io_orientation(affine)
    to_ras = inv_ornt_aff(turn, image.shape)
    image, values, mask = (apply_orientation(v, turn) for v in (image, values, mask))
    grid = Grid(mask.shape, affine @ to_ras)
    strength = np.abs(np.where(np.isfinite(values), values, 0.0))
    threshold = _PAPER_SHARE_OF_PEAK * strength.max() if paper_threshold else 0.0
    if percentile and not paper_threshold:
        threshold = np.percentile(strength, percentile)
    above = strength > threshold
    # not the peak: a single voxel would leave all others colourless
    limit = float(np.percentile(strength[above], 99.0)) if above.any() else 1.0
    dark, bright = np.nanpercentile(image, (0.5, 99.5))
    grey = Normalize(float(dark), float(bright), clip=True)
    opacity = above * (0.5 + 0.45 * np.clip(strength / limit, 0, 1))
    indices = tuple(widest_slice(mask, plane.normal) for plane in PLANES)

    def cuts(volume: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        return tuple(plane.cut(volume, index) for plane, index in zip(PLANES, indices, strict=True))

    grey_cuts = tuple(np.asarray(grey(part)) for part in cuts(image))
    return Cut(grid, indices, grey_cuts, cuts(values), cuts(opacity), cuts(mask), limit)


def colour_stops(n: int = 16) -> dict[str, list[list[int]]]:
    """Return the colours of `DIVERGING` from 0 to either end ``[n][red, green, blue]``, as plain data."""
    places = np.linspace(0.0, 0.5, n)
    return {
        name: (DIVERGING(0.5 + sign * places)[:, :3] * 255).round().astype(int).tolist()
        for name, sign in (("raises", 1), ("lowers", -1))
    }


def draw_planes(axes: Sequence[Axes], seen: Cut) -> None:
    """Draw axial, coronal and sagittal slice on three axes."""
    colour = Normalize(-seen.limit, seen.limit, clip=True)
    for n, (plane, ax) in enumerate(zip(PLANES, axes, strict=True)):
        width, height = plane.size_mm(seen.grid)
        extent = (0.0, width, 0.0, height)
        ax.imshow(seen.image[n], cmap="gray", vmin=0, vmax=1, extent=extent)
        layer = DIVERGING(colour(seen.values[n]))  # [rows, columns, rgba]
        layer[..., 3] = seen.shown[n]
        ax.imshow(layer, extent=extent, interpolation="nearest")
        _outline(ax, seen.outlined[n], extent)
        _letters(ax, plane, seen.indices[n], seen.grid)


def widest_slice(mask: Mask, axis: int) -> int:
    """Return the slice along `axis` that holds most of `mask`, the first of equals."""
    return int(np.argmax(mask.sum(axis=tuple(other for other in range(3) if other != axis))))


def _check(image: FloatVolume, values: FloatVolume, mask: Mask, percentile: float) -> None:
    if not image.shape == values.shape == mask.shape or image.ndim != 3:
        raise UsageError(
            "overlay",
            got=f"image {list(image.shape)}, values {list(values.shape)}, mask {list(mask.shape)}",
            allowed="three volumes [X, Y, Z] of one shape",
            remedy="choose or sum channels first, and bring masks to the scan's grid",
        )
    if not mask.any():
        raise UsageError(
            "mask", got="no voxel", allowed="at least one", remedy="pick a class that is present in the scan"
        )
    if not 0 <= percentile <= 100:
        raise out_of_range("percentile", percentile, "0 to 100")


def _outline(ax: Axes, inside: Mask, extent: tuple[float, float, float, float]) -> None:
    """Trace the edges of a mask's voxels."""
    padded = np.pad(inside, 1)
    rows, columns = inside.shape
    r, c = np.nonzero(padded[1:-1, 1:] != padded[1:-1, :-1])  # between the voxels of a row
    upright = np.stack([np.stack([c, r], axis=1), np.stack([c, r + 1], axis=1)], axis=1)
    r, c = np.nonzero(padded[1:, 1:-1] != padded[:-1, 1:-1])  # between the voxels of a column
    level = np.stack([np.stack([c, r], axis=1), np.stack([c + 1, r], axis=1)], axis=1)
    edges = np.concatenate([upright, level]) * (extent[1] / columns, -extent[3] / rows) + (0, extent[3])
    ax.add_collection(LineCollection(list(edges), colors=OUTLINE, linewidths=0.8, capstyle="projecting"))


def _letters(ax: Axes, plane: Plane, index: int, grid: Grid) -> None:
    style: dict[str, Any] = {
        "transform": ax.transAxes,
        "color": "white",
        "fontsize": 10,
        "fontweight": "bold",
        "path_effects": [withStroke(linewidth=2.5, foreground="black")],
    }
    left, right, top, bottom = plane.edges
    ax.text(0.015, 0.5, left, ha="left", va="center", **style)
    ax.text(0.985, 0.5, right, ha="right", va="center", **style)
    ax.text(0.5, 0.985, top, ha="center", va="top", **style)
    ax.text(0.5, 0.015, bottom, ha="center", va="bottom", **style)
    ax.set_title(
        f"{plane.name}, slice {index + 1} of {grid.shape[plane.normal]}", color="#cbd2d9", fontsize=9, pad=4
    )
