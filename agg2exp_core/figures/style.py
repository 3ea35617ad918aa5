"""What all figures share: colours, ticks, titles, checks of their data, and their bytes."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter
from numpy.typing import ArrayLike

from agg2exp_core.errors import UsageError, unknown_name
from agg2exp_core.labels import GROUP_COLOURS, colour_of, group_of, readable

INK = "#1f2933"
"""Colour of text."""
SUBDUED = "#52606d"
"""Colour of notes."""
FAINT = "#9aa5b1"
"""Colour of rules and of what is absent."""
GRID = "#e4e7eb"
"""Colour of lines behind the data."""
MISSING = "#eef0f2"
"""Colour of a cell without a number."""
PRINT_DPI = 300
"""Of what is no vector in a file for print: slices of scans."""
COHORT_COLOURS = ("#0072B2", "#D55E00")
"""Of the cohorts, in their order: told apart by all kinds of colour vision."""


def to_png(figure: Figure, dpi: int = 110) -> bytes:
    """Return a figure as a PNG file.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    dpi : int
        Pixels per inch.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, facecolor=figure.get_facecolor())
    return buffer.getvalue()


def to_svg(figure: Figure) -> bytes:
    """Return a figure as an SVG file, its text as text, for print."""
    return _printed(figure, "svg", {"Date": None})


def to_pdf(figure: Figure) -> bytes:
    """Return a figure as a PDF file, its text as text, for print."""
    return _printed(figure, "pdf", {"CreationDate": None})


def _printed(figure: Figure, kind: str, metadata: dict[str, None]) -> bytes:
    buffer = io.BytesIO()
    with rc_context({"svg.fonttype": "none", "pdf.fonttype": 42}):
        figure.savefig(
            buffer, format=kind, metadata=metadata, facecolor=figure.get_facecolor(), dpi=PRINT_DPI
        )
    return buffer.getvalue()


def signed(figure: Figure, text: str) -> Figure:
    """Say in small letters above the title of a figure what it is of; return the figure."""
    height = figure.get_figheight()
    dark = figure.get_facecolor()[:3] != (1.0, 1.0, 1.0)
    colour = FAINT if dark else SUBDUED
    figure.text(0.015, 1 - 0.02 / height, text, va="top", fontsize=6.5, color=colour, gid="of")
    return figure


def text_colour(name: str) -> tuple[float, float, float]:
    """Return the colour of a class's group, darkened for letters on white."""
    return group_ink(colour_of(name))


def group_ink(colour: str) -> tuple[float, float, float]:
    """Return a group's colour, darkened for letters on white."""
    red, green, blue = (0.72 * part for part in to_rgb(colour))
    return red, green, blue


def plain_axes(ax: Axes, grid: str = "x") -> None:
    """Take away all lines of the frame but the lowest, and lay a faint grid behind the data."""
    ax.grid(axis=grid, color=GRID, linewidth=0.8)  # type: ignore[arg-type]
    ax.set_axisbelow(True)
    ax.tick_params(length=0, labelsize=8.5)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.spines["bottom"].set_color(FAINT)


def class_ticks(ax: Axes, names: Sequence[str], places: ArrayLike | None = None, mark: str = "") -> None:
    """Name classes along the y axis, in the colours of their groups; a triangle tells the one of `mark`."""
    texts = [f"▸ {readable(name)}" if name == mark else readable(name) for name in names]
    ax.set_yticks(range(len(names)) if places is None else places, texts)
    for label, name in zip(ax.get_yticklabels(), names, strict=True):
        label.set(color=text_colour(name), fontweight="bold", fontsize=8.5)


def percent_ticks(ax: Axes) -> None:
    """Write the shares along the x axis in percent."""
    ax.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))


def title_of(figure: Figure, title: str, explanation: str) -> None:
    """Head a figure with a bold title, and foot it with a line that says what is seen."""
    height = figure.get_figheight()
    figure.text(
        0.015, 1 - 0.14 / height, title, va="top", fontsize=13, fontweight="bold", color=INK, gid="title"
    )
    figure.text(0.015, 0.12 / height, explanation, va="bottom", fontsize=8, color=SUBDUED, gid="explanation")


def group_handles(names: Iterable[str]) -> list[Patch]:
    """Return legend entries of the groups that occur among `names`, in the order of the colour table."""
    present = {group_of(name) for name in names}
    return [Patch(color=colour, label=group) for group, colour in GROUP_COLOURS.items() if group in present]


def check_matrix(matrix: xr.DataArray) -> xr.DataArray:
    """Return a matrix with its axes in the order ``(target, roi)``.

    Raises
    ------
    UsageError
        If there are other axes, or no numbers at all.
    """
    _check_dims(matrix, {"target", "roi"})
    if not bool(matrix.notnull().any()):
        raise UsageError(
            "matrix",
            got="no value that is not missing",
            allowed="at least one class and region that occur together in a scan",
            remedy="check that the model finds its classes in these scans",
        )
    return matrix.transpose("target", "roi")


def region_kinds(matrix: xr.DataArray) -> dict[str, str]:
    """Return the kind of each region, ``class`` where the matrix does not say."""
    names = [str(name) for name in matrix["roi"].values]
    kinds = map(str, matrix["roi_kind"].values) if "roi_kind" in matrix.coords else ["class"] * len(names)
    return dict(zip(names, kinds, strict=True))


def check_target(local: xr.Dataset, target: str, variable: str) -> xr.DataArray:
    """Return the rows of one class over scans, ``(scan, roi)``; merged regions repeat their parts and go.

    Raises
    ------
    UsageError
        If the variable or the class is not there, or there is no axis of scans.
    """
    if variable not in local:
        raise unknown_name("variable", variable, map(str, local.data_vars))
    values = local[variable]
    _check_dims(values, {"scan", "target", "roi"})
    if target not in values["target"].values:
        raise unknown_name("target", target, map(str, values["target"].values))
    row = values.sel(target=target).transpose("scan", "roi")
    return row.isel(roi=row["roi_kind"].values != "merged") if "roi_kind" in row.coords else row


def _check_dims(values: xr.DataArray, dims: set[str]) -> None:
    if set(values.dims) != dims:
        raise UsageError(
            "matrix",
            got=f"axes {list(values.dims)}",
            allowed=f"axes {sorted(dims)}",
            remedy="select one scan, or reduce over scans first",
        )
