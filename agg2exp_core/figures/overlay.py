"""One class's attribution on the slices with most of the class (Fig. 2, 7 to 11)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from numpy.typing import NDArray

from agg2exp_core.errors import UsageError
from agg2exp_core.types import Affine, FloatVolume, Grid, Mask

_DIVERGING = LinearSegmentedColormap.from_list(
    "against_and_for", ["#67e8ff", "#2f8bff", "#1c1cc8", "#c81c1c", "#ff5a2f", "#ffb067"]
)
_OUTLINE = "#ffee00"
_PAPER_SHARE_OF_PEAK = 0.01
_PANEL_INCH = 4.3


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


def overlay(
    image: FloatVolume,
    values: FloatVolume,
    mask: Mask,
    *,
    affine: Affine,
    title: str,
    percentile: float = 95.0,
    paper_threshold: bool = False,
) -> Figure:
    """Draw the attribution of one class on the axial, coronal and sagittal slice with most of it.

    Parameters
    ----------
    image : ndarray of float, shape [X, Y, Z]
        The scan in the model's own orientation, in grey between its 0.5th and 99.5th percentile.
    values : ndarray of float, shape [X, Y, Z]
        The attribution; what is not finite is not shown.
    mask : ndarray of bool, shape [X, Y, Z]
        The prediction of the class, outlined in yellow.
    affine : ndarray of float64, shape [4, 4]
        Voxel index to RAS world coordinates in mm, of all three. Pictures are turned to the nearest
        RAS axes and stand in the radiological convention: the patient's right is on the left.
    title : str
    percentile : float
        Absolute values above this percentile of the scan are shown.
    paper_threshold : bool
        Show absolute values above 1% of the largest instead, as the paper's code does.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    UsageError
        If shapes differ, the mask is empty, or `percentile` is out of range.
    """
    _check(image, values, mask, percentile)
    turn = io_orientation(affine)
    to_ras = inv_ornt_aff(turn, image.shape)
    image, values, mask = (apply_orientation(v, turn) for v in (image, values, mask))
    grid = Grid(mask.shape, affine @ to_ras)
    strength = np.abs(np.where(np.isfinite(values), values, 0.0))
    threshold = (
        _PAPER_SHARE_OF_PEAK * strength.max() if paper_threshold else np.percentile(strength, percentile)
    )
    shown = strength > threshold
    limit = float(np.percentile(strength[shown], 99.0)) if shown.any() else 1.0
    dark, bright = np.nanpercentile(image, (0.5, 99.5))
    grey = Normalize(float(dark), float(bright), clip=True)
    colour = Normalize(-limit, limit, clip=True)

    figure, axes = _frame(grid, title)
    for plane, ax in zip(PLANES, axes, strict=True):
        index = widest_slice(mask, plane.normal)
        width, height = plane.size_mm(grid)
        extent = (0.0, width, 0.0, height)
        ax.imshow(plane.cut(grey(image), index), cmap="gray", vmin=0, vmax=1, extent=extent)
        layer = _DIVERGING(colour(plane.cut(values, index)))  # [rows, columns, rgba]
        layer[..., 3] = plane.cut(shown * (0.5 + 0.45 * np.clip(strength / limit, 0, 1)), index)
        ax.imshow(layer, extent=extent, interpolation="nearest")
        _outline(ax, plane.cut(mask, index), extent)
        _letters(ax, plane, index, grid)
    rule = "1% of the peak" if paper_threshold else f"the {percentile:g}th percentile"
    _colour_bar(figure, ScalarMappable(colour, _DIVERGING), limit)
    figure.text(
        0.012,
        0.02,
        f"Shown: absolute attribution above {rule} of the scan. Yellow: outline of the prediction. "
        "Radiological convention: the patient's right is on the left.",
        color="#9aa5b1",
        fontsize=8,
    )
    return figure


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
        raise UsageError("percentile", got=f"{percentile}", allowed="0 to 100", remedy="try 95")


def _frame(grid: Grid, title: str) -> tuple[Figure, list[Axes]]:
    """Make a dark figure with one panel per plane, all at the same millimetres per inch."""
    sizes = [plane.size_mm(grid) for plane in PLANES]
    inch_per_mm = _PANEL_INCH / max(max(size) for size in sizes)
    tallest = max(height for _, height in sizes) * inch_per_mm
    gap, head, foot, bar = 0.16, 0.75, 0.45, 1.15
    width = sum(w for w, _ in sizes) * inch_per_mm + gap * 4 + bar
    height = tallest + head + foot
    figure = Figure(figsize=(width, height), facecolor="#0b0d10")
    axes, left = [], gap
    for w, h in sizes:
        bottom = foot + (tallest - h * inch_per_mm) / 2
        box = (left / width, bottom / height, w * inch_per_mm / width, h * inch_per_mm / height)
        ax = figure.add_axes(box)
        ax.axis("off")
        axes.append(ax)
        left += w * inch_per_mm + gap
    figure.text(0.012, 1 - 0.12 / height, title, va="top", color="white", fontsize=13, fontweight="bold")
    return figure, axes


def _outline(ax: Axes, inside: Mask, extent: tuple[float, float, float, float]) -> None:
    """Trace the edges of a mask's voxels."""
    padded = np.pad(inside, 1)
    rows, columns = inside.shape
    r, c = np.nonzero(padded[1:-1, 1:] != padded[1:-1, :-1])  # between the voxels of a row
    upright = np.stack([np.stack([c, r], axis=1), np.stack([c, r + 1], axis=1)], axis=1)
    r, c = np.nonzero(padded[1:, 1:-1] != padded[:-1, 1:-1])  # between the voxels of a column
    level = np.stack([np.stack([c, r], axis=1), np.stack([c + 1, r], axis=1)], axis=1)
    edges = np.concatenate([upright, level]) * (extent[1] / columns, -extent[3] / rows) + (0, extent[3])
    ax.add_collection(LineCollection(list(edges), colors=_OUTLINE, linewidths=0.8, capstyle="projecting"))


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


def _colour_bar(figure: Figure, colours: ScalarMappable, limit: float) -> None:
    width, height = figure.get_size_inches()
    box = figure.add_axes((1 - 1.0 / width, 0.75 / height, 0.13 / width, 1 - 1.9 / height))
    bar = figure.colorbar(colours, cax=box, ticks=[-limit, 0, limit])
    bar.ax.set_yticklabels([f"{-limit:.1g}", "0", f"+{limit:.1g}"])
    bar.ax.tick_params(colors="#cbd2d9", labelsize=8, length=0)
    bar.ax.set_title("raises\nthe class", color="#cbd2d9", fontsize=8, pad=6)
    bar.ax.set_xlabel("lowers\nthe class", color="#cbd2d9", fontsize=8, labelpad=6)
    box.spines[:].set_visible(False)
