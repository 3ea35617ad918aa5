"""The class-by-region matrix as a picture (Fig. 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, FuncNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedFormatter, FixedLocator
from numpy.typing import NDArray

from agg2exp_core.figures.dark import ON_DATA
from agg2exp_core.figures.style import (
    FAINT,
    INK,
    MISSING,
    SUBDUED,
    check_matrix,
    class_ticks,
    region_kinds,
    text_colour,
    title_of,
)
from agg2exp_core.labels import BACKGROUND, readable

_CELL_INCH = (0.47, 0.36)
_LEAST_INCH = (3.6, 2.1)
_MOST_INCH = (20.0, 22.0)
_DIGIT_INCH = (0.064, 0.18)
_MARGIN_INCH = 0.06
_LETTER_INCH = 0.078
_GAP_INCH = 0.12
_KINDS = {"class": "classes", "merged": "merged", "extra": "extra regions"}
_OWN_SCALE = "own scale"


@dataclass(frozen=True)
class _Block:
    """Columns that are drawn side by side on one colour scale."""

    heading: str
    columns: tuple[str, ...]
    colours: Colormap
    norm: Normalize


def heat_map(
    matrix: xr.DataArray, *, title: str, signed: bool = False, background: str = BACKGROUND
) -> Figure:
    """Draw a class-by-region matrix.

    The background holds most of every row, so its column has a colour scale of its own, and the
    colours of the others follow the square root of the value. A dark frame marks the class itself.

    Parameters
    ----------
    matrix : DataArray, dims (target, roi)
        Shares of attribution, or values in the unit that ``attrs["units"]`` names;
        ``attrs["long_name"]`` heads the colour bar. NaN is missing. The coordinate ``roi_kind(roi)``,
        if there is one, sets merged and extra regions apart.
    title : str
    signed : bool
        Whether the sign of values matters: then colours diverge from zero.
    background : str
        The region that is set apart.

    Raises
    ------
    UsageError
        If `matrix` has other axes, or no value at all.
    """
    matrix = check_matrix(matrix)
    targets = [str(name) for name in matrix["target"].values]
    blocks = _blocks(matrix, signed, background)
    n_columns = sum(len(block.columns) for block in blocks)
    cell = _cell_inch(len(targets), n_columns)
    annotated = _numbers_fit(matrix, cell)

    figure, axes, bar = _frame(targets, blocks, cell)
    for ax, block in zip(axes, blocks, strict=True):
        _draw(ax, matrix.sel(roi=list(block.columns)), block, annotated)
    class_ticks(axes[0], targets)
    _colour_bar(figure, bar, blocks[-1], matrix)
    notes = ["framed: the class itself"]
    if annotated and "units" not in matrix.attrs:
        notes.insert(0, "numbers in percent")
    inner = matrix.drop_sel(roi=background, errors="ignore")
    if inner.sizes["roi"] < matrix.sizes["roi"] and bool(matrix.sel(roi=background).isnull().all()):
        notes.append(f"plain grey: {readable(background)}, left out")
        matrix = inner
    if bool(matrix.isnull().any()):
        notes.append("hatched: missing, no scan has both the class and the region")
    title_of(figure, title, "  ·  ".join(notes))
    return figure


def _blocks(matrix: xr.DataArray, signed: bool, background: str) -> list[_Block]:
    kind_of = region_kinds(matrix)
    names = list(kind_of)
    inner = [name for name in names if name != background]
    colours = colormaps["RdBu_r" if signed else "YlGnBu"]
    # square roots: the small shares, which are most of them, are told apart
    norm = _root_norm(matrix.sel(roi=inner or names), signed)
    blocks = []
    if background in names and inner:
        own = matrix.sel(roi=background)
        low, high = _limits(own, signed)
        apart = colormaps["PuOr_r" if signed else "Greys"]
        blocks.append(_Block(_OWN_SCALE, (background,), apart, Normalize(low, high * 1.4)))
    for kind in dict.fromkeys(kind_of[name] for name in inner or names):
        columns = tuple(name for name in inner or names if kind_of[name] == kind)
        blocks.append(
            _Block(_KINDS.get(kind, kind) if "roi_kind" in matrix.coords else "", columns, colours, norm)
        )
    return blocks


def _limits(values: xr.DataArray, signed: bool) -> tuple[float, float]:
    high = float(np.nan_to_num(abs(values).max())) or 1.0
    return (-high if signed else 0.0), high


def _root_norm(values: xr.DataArray, signed: bool) -> Normalize:
    def root(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.sign(x) * np.sqrt(np.abs(x))

    def square(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.sign(x) * np.square(x)

    low, high = _limits(values, signed)
    return FuncNorm((root, square), vmin=low, vmax=high)


def _cell_inch(n_rows: int, n_columns: int) -> tuple[float, float]:
    return (
        min(max(_CELL_INCH[0], _LEAST_INCH[0] / n_columns), _MOST_INCH[0] / n_columns),
        min(max(_CELL_INCH[1], _LEAST_INCH[1] / n_rows), _MOST_INCH[1] / n_rows),
    )


def _numbers_fit(matrix: xr.DataArray, cell: tuple[float, float]) -> bool:
    shares = "units" not in matrix.attrs
    longest = max(len(_number(value, shares)) for value in matrix.values.ravel() if not np.isnan(value))
    return longest * _DIGIT_INCH[0] + _MARGIN_INCH < cell[0] and _DIGIT_INCH[1] < cell[1]


def _frame(
    targets: list[str], blocks: list[_Block], cell: tuple[float, float]
) -> tuple[Figure, list[Axes], Axes]:
    """Make a figure with an axes per block and one for the colour bar, all cells of one size."""
    columns = [name for block in blocks for name in block.columns]
    left = 0.55 + _LETTER_INCH * max(map(len, targets))
    bottom = 0.85 + 0.72 * _LETTER_INCH * max(map(len, columns))
    inner = len(columns) * cell[0] + (len(blocks) - 1) * _GAP_INCH
    tall = len(targets) * cell[1]
    width, height = left + inner + 1.45, bottom + tall + 0.8
    figure = Figure(figsize=(width, height), facecolor="white")
    axes, x = [], left
    for block in blocks:
        wide = len(block.columns) * cell[0]
        axes.append(figure.add_axes((x / width, bottom / height, wide / width, tall / height)))
        axes[-1].set_yticks([])
        x += wide + _GAP_INCH
    bar = figure.add_axes(((x + 0.1) / width, bottom / height, 0.16 / width, tall / height))
    style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 10, "color": INK}
    figure.text((left + inner / 2) / width, 0.52 / height, "region where the attribution lies", **style)
    figure.text(0.22 / width, (bottom + tall / 2) / height, "explained class", rotation=90, **style)
    return figure, axes, bar


def _draw(ax: Axes, values: xr.DataArray, block: _Block, annotated: bool) -> None:
    numbers = np.asarray(values.values, dtype=np.float64)  # [T, R]
    ax.imshow(numbers, cmap=block.colours, norm=block.norm, aspect="auto", interpolation="nearest")
    n_rows, n_columns = numbers.shape
    ax.set_xticks(range(n_columns), [readable(name) for name in block.columns])
    ax.tick_params(length=0, labelsize=8.5)
    for label, name in zip(ax.get_xticklabels(), block.columns, strict=True):
        label.set(rotation=45, ha="right", rotation_mode="anchor")
        label.set(color=text_colour(name), fontweight="bold")
    ax.set_xticks(np.arange(1, n_columns) - 0.5, minor=True)
    ax.set_yticks(np.arange(1, n_rows) - 0.5, minor=True)
    ax.grid(which="minor", color="white", linewidth=1.2 if annotated else 0.4)
    ax.tick_params(which="minor", length=0)
    ax.spines[:].set_visible(False)
    if block.heading:
        ax.set_title(
            block.heading,
            loc="right" if block.heading == _OWN_SCALE else "left",
            fontsize=8,
            color=SUBDUED,
            pad=5,
        )
    targets = [str(name) for name in values["target"].values]
    shares = "units" not in values.attrs
    for (row, column), value in np.ndenumerate(numbers):
        corner = (column - 0.5, row - 0.5)
        if np.isnan(value):
            hatch = "" if block.heading == _OWN_SCALE and np.isnan(numbers).all() else "////"
            ax.add_patch(
                Rectangle(corner, 1, 1, facecolor=MISSING, edgecolor=FAINT, hatch=hatch, linewidth=0)
            )
        elif annotated:
            colour = _ink_on(block.colours(block.norm(value)))
            ax.text(
                column,
                row,
                _number(value, shares),
                ha="center",
                va="center",
                fontsize=7.2,
                color=colour,
                gid=ON_DATA,
            )
        if targets[row] == block.columns[column]:
            for colour, width in (("white", 3.4), (INK, 1.4)):
                ax.add_patch(
                    Rectangle(
                        corner, 1, 1, fill=False, edgecolor=colour, linewidth=width, zorder=3, clip_on=False
                    )
                )


def _number(value: float, shares: bool) -> str:
    if not shares:
        return f"{value:.2g}"
    return f"{100 * value:.0f}" if abs(value) >= 0.0995 else f"{round(100 * value, 1) + 0.0:.1f}"


def _ink_on(rgba: tuple[float, float, float, float]) -> str:
    red, green, blue, _ = rgba
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.55 else INK


def _colour_bar(figure: Figure, ax: Axes, block: _Block, matrix: xr.DataArray) -> None:
    bar = figure.colorbar(ScalarMappable(block.norm, block.colours), cax=ax)
    units = matrix.attrs.get("units")
    name = matrix.attrs.get("long_name", "share of the attribution" if units is None else "value")
    bar.set_label(f"{name}{f' ({units})' if units else ''}\nsquare-root colour scale", fontsize=9, color=INK)
    bar_inch = ax.get_position().height * figure.get_figheight()
    ticks = _round_ticks(block.norm, 0.2 / bar_inch)
    ax.yaxis.set_major_locator(FixedLocator(ticks))
    ax.yaxis.set_major_formatter(FixedFormatter([f"{t:g}" if units else f"{100 * t:g} %" for t in ticks]))
    ax.minorticks_off()
    ax.tick_params(labelsize=8, length=2, color=FAINT)
    ax.spines[:].set_visible(False)


def _round_ticks(norm: Normalize, apart: float) -> list[float]:
    """Return round values, from the largest down, that are `apart` (as a share of the bar) or more."""
    high = float(norm.vmax or 1.0)
    decade = int(np.floor(np.log10(high)))
    ticks: list[float] = []
    for exponent in (decade, decade - 1, decade - 2):
        for step in (5, 2, 1):
            tick = float(f"{step}e{exponent}")
            if tick <= high and all(abs(norm(tick) - norm(other)) > apart for other in [*ticks, 0.0]):
                ticks.append(tick)
    return sorted({0.0, *ticks, *(-tick for tick in ticks if norm.vmin)})
