"""One class's attribution on the slices with most of the class (Fig. 2, 7 to 11)."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from agg2exp_core.figures.planes import DIVERGING, PAGE, PLANES, cut, draw_planes
from agg2exp_core.types import Affine, FloatVolume, Grid, Mask

_PANEL_INCH = 4.3


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
        The prediction of the class, outlined in green.
    affine : ndarray of float64, shape [4, 4]
        Voxel index to RAS world coordinates in mm, of all three. Pictures are turned to the nearest
        RAS axes and stand in the radiological convention: the patient's right is on the left.
    title : str
    percentile : float
        Absolute values above this percentile of the scan are shown; above 0 with 0.
    paper_threshold : bool
        Show absolute values above 1% of the largest instead, as the paper's code does.

    Raises
    ------
    UsageError
        If shapes differ, the mask is empty, or `percentile` is out of range.
    """
    seen = cut(image, values, mask, affine, percentile=percentile, paper_threshold=paper_threshold)
    figure, axes = _frame(seen.grid, title)
    draw_planes(axes, seen)
    rule = "1% of the peak" if paper_threshold else f"the {percentile:g}th percentile"
    shown = "all attribution" if percentile == 0 else f"absolute attribution above {rule} of the scan"
    _colour_bar(figure, ScalarMappable(Normalize(-seen.limit, seen.limit), DIVERGING), seen.limit)
    figure.text(
        0.012,
        0.02,
        f"Shown: {shown}. Green: outline of the prediction. "
        "Radiological convention: the patient's right is on the left.",
        color="#9aa5b1",
        fontsize=8,
    )
    return figure


def _frame(grid: Grid, title: str) -> tuple[Figure, list[Axes]]:
    """Make a dark figure with one panel per plane, all at the same millimetres per inch."""
    sizes = [plane.size_mm(grid) for plane in PLANES]
    inch_per_mm = _PANEL_INCH / max(max(size) for size in sizes)
    tallest = max(height for _, height in sizes) * inch_per_mm
    gap, head, foot, bar = 0.16, 0.75, 0.45, 1.15
    width = sum(w for w, _ in sizes) * inch_per_mm + gap * 4 + bar
    height = tallest + head + foot
    figure = Figure(figsize=(width, height), facecolor=PAGE)
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


def _colour_bar(figure: Figure, colours: ScalarMappable, limit: float) -> None:
    width, height = figure.get_size_inches()
    box = figure.add_axes((1 - 1.0 / width, 0.75 / height, 0.13 / width, 1 - 1.9 / height))
    bar = figure.colorbar(colours, cax=box, ticks=[-limit, 0, limit])
    bar.ax.set_yticklabels([f"{-limit:.3g}", "0", f"+{limit:.3g}"])
    bar.ax.tick_params(colors="#cbd2d9", labelsize=8, length=0)
    bar.ax.set_title("raises\nthe class", color="#cbd2d9", fontsize=8, pad=6)
    bar.ax.set_xlabel("lowers\nthe class", color="#cbd2d9", fontsize=8, labelpad=6)
    box.spines[:].set_visible(False)
