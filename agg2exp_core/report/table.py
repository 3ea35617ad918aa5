"""The matrix on a terminal."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import xarray as xr
from rich.table import Table
from rich.text import Text

from agg2exp_core.errors import UsageError
from agg2exp_core.labels import BACKGROUND, readable
from agg2exp_core.report.sections import MISSING

_TERMINAL_COLUMNS = 80
_WORD_LETTERS = 5
_HOT, _COLD = 0.6, 0.2


@dataclass(frozen=True)
class _Cell:
    """A cell: its text, and a heat from 0 to 1 (0 where it is missing)."""

    text: str
    heat: float
    is_own: bool


def matrix_table(matrix: xr.DataArray, *, digits: int = 3) -> Table:
    """Return a class-by-region matrix as a table that fits 80 columns.

    Rows are explained classes, columns regions, in percent. Columns that don't fit beside each other
    follow in further blocks below. Words of a region's name stand on top of each other, long ones
    cut short; the caption spells out the regions that are no row.

    Parameters
    ----------
    matrix : DataArray, dims (target, roi)
        Shares of attribution. NaN, shown as a dash, is missing.
    digits : int
        Decimals of a share: 3 shows 0.0324 as 3.2 percent.

    Returns
    -------
    rich.table.Table

    Raises
    ------
    UsageError
        If `matrix` has other axes, or `digits` is less than 2.
    """
    if set(matrix.dims) != {"target", "roi"} or digits < 2:
        raise UsageError(
            "matrix_table",
            got=f"axes {list(matrix.dims)}, {digits} digits",
            allowed="axes ['target', 'roi'] and 2 digits or more",
            remedy="select one scan, or reduce over scans first",
        )
    matrix = matrix.transpose("target", "roi")
    rois = [str(name) for name in matrix["roi"].values]
    rows = _heat_rows(matrix, decimals=digits - 2)
    label_width = max(len(readable(target)) for target, _ in rows)
    cell_width = max(_WORD_LETTERS, *(len(cell.text) for _, cells in rows for cell in cells))
    blocks = _blocks(len(rois), max(1, (_TERMINAL_COLUMNS - label_width - 1) // (cell_width + 1)))

    table = Table(
        box=None,
        show_header=False,
        padding=(0, 0, 0, 1),
        title="share of each class's attribution by region, percent",
        title_justify="left",
        caption=_legend(rois, [target for target, _ in rows]),
        caption_justify="left",
    )
    table.add_column(no_wrap=True, min_width=label_width)
    for _ in range(max(len(block) for block in blocks)):
        table.add_column(justify="right", no_wrap=True, min_width=cell_width)
    for block in blocks:
        heads = [Text("\n".join(_short_words(rois[i])), style="bold") for i in block]
        table.add_row(Text("explained class", style="italic"), *heads)
        for target, cells in rows:
            table.add_row(readable(target), *(_styled(cells[i]) for i in block))
        table.add_row()
    return table


def _heat_rows(matrix: xr.DataArray, decimals: int) -> list[tuple[str, list[_Cell]]]:
    """Return the rows of a matrix of shares, in percent.

    Heat is the square root of a share divided by the largest: of the background for that region, of all
    others for the rest.
    """
    names = [str(name) for name in matrix["roi"].values]
    is_inner = np.array(names) != BACKGROUND
    values = np.asarray(matrix.values, dtype=np.float64)  # [T, R]
    tops = np.where(
        is_inner, np.nanmax(values[:, is_inner], initial=0.0), np.nanmax(values, axis=0, initial=0.0)
    )  # [R]

    def cell(target: str, roi: str, share: float, top: float) -> _Cell:
        if np.isnan(share):
            return _Cell(MISSING, 0.0, target == roi)
        return _Cell(
            f"{100 * share:.{decimals}f}", float(np.sqrt(max(share, 0.0) / (top or 1.0))), target == roi
        )

    targets = [str(name) for name in matrix["target"].values]
    return [
        (target, [cell(target, *column) for column in zip(names, row, tops, strict=True)])
        for target, row in zip(targets, values, strict=True)
    ]


def _blocks(n_columns: int, most: int) -> list[range]:
    """Split columns into as few blocks as fit, of about one size."""
    n_blocks = -(-n_columns // most)
    edges = [round(i * n_columns / n_blocks) for i in range(n_blocks + 1)]
    return [range(a, b) for a, b in pairwise(edges)]


def _short_words(name: str) -> list[str]:
    return [
        word if len(word) <= _WORD_LETTERS else f"{word[: _WORD_LETTERS - 1]}."
        for word in readable(name).split()
    ]


def _legend(rois: list[str], targets: list[str]) -> str | None:
    cut = [name for name in rois if name not in targets and " ".join(_short_words(name)) != readable(name)]
    return "; ".join(f"{' '.join(_short_words(name))} = {readable(name)}" for name in cut) or None


def _styled(cell: _Cell) -> Text:
    if cell.is_own:
        return Text(cell.text, style="reverse")
    if cell.heat < _COLD:
        return Text(cell.text, style="dim")
    return Text(cell.text, style="bold cyan" if cell.heat > _HOT else "")
