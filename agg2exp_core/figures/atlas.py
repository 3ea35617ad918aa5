"""Rows of three planes: all classes of a scan (Fig. 7 to 11), or one class of several scans (Fig. 5)."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from matplotlib.figure import Figure

from agg2exp_core.errors import UsageError
from agg2exp_core.figures.planes import PAGE, PLANES, Cut, draw_planes

_WIDE_INCH = 9.0
_LETTERS_PER_INCH = 15


def atlas(rows: Sequence[tuple[str, Cut]], *, title: str, explanation: str, n_columns: int = 1) -> Figure:
    """Draw axial, coronal and sagittal slice of each row, all rows as wide as each other.

    Parameters
    ----------
    rows : sequence of (str, Cut)
        A heading, and what is seen.
    title, explanation : str
        Above and below.
    n_columns : int
        Rows beside each other.

    Raises
    ------
    UsageError
        If there is no row.
    """
    if not rows:
        raise UsageError("atlas", got="no row", allowed="one or more", remedy="give a class that is present")
    sizes = [[plane.size_mm(seen.grid) for plane in PLANES] for _, seen in rows]
    block = _WIDE_INCH / min(n_columns, 2)
    lines = textwrap.wrap(explanation, int(_LETTERS_PER_INCH * block * n_columns))
    gap, head, foot, name = 0.06, 0.6, 0.22 + 0.14 * len(lines), 0.24
    inner = block - 4 * gap
    scales = [inner / sum(width for width, _ in size) for size in sizes]
    heights = [max(h for _, h in size) * scale for size, scale in zip(sizes, scales, strict=True)]
    columns = [range(n, len(rows), n_columns) for n in range(n_columns)]
    tall = max(sum(heights[n] + name for n in column) for column in columns)
    width, height = block * n_columns, tall + head + foot
    figure = Figure(figsize=(width, height), facecolor=PAGE)
    for c, column in enumerate(columns):
        top = height - head
        for n in column:
            figure.text(
                (c * block + gap) / width,
                (top - 0.05) / height,
                rows[n][0],
                va="top",
                color="white",
                fontsize=9,
            )
            top -= name + heights[n]
            left, axes = c * block + gap, []
            for w, h in sizes[n]:
                box = (w * scales[n] / width, h * scales[n] / height)
                up = top + (heights[n] - h * scales[n]) / 2
                axes.append(figure.add_axes((left / width, up / height, *box)))
                axes[-1].axis("off")
                left += w * scales[n] + gap
            draw_planes(axes, rows[n][1])
            for ax in axes:
                ax.set_title("")
    style = {"color": "white", "fontweight": "bold", "fontsize": 13}
    figure.text(gap / width, 1 - 0.12 / height, title, va="top", **style)  # type: ignore[arg-type]
    text = "\n".join(lines)
    figure.text(gap / width, 0.1 / height, text, va="bottom", color="#9aa5b1", fontsize=8)
    return figure
