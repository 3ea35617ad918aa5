"""Loss and scores over a training, as a table and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pandas as pd

from agg2exp_core.files import whole_file


@dataclass(frozen=True)
class Panel:
    """What a picture of the curves shows beside the loss.

    Parameters
    ----------
    label : str
        Of the vertical axis.
    bold : mapping of str to str
        Columns that matter most, and what the legend calls them.
    thin : sequence of str
        Other columns.
    limits : tuple of float, optional
        Of the vertical axis.
    """

    label: str
    bold: Mapping[str, str]
    thin: Sequence[str]
    limits: tuple[float, float] | None = None


def write_curves(folder: Path, rows: Sequence[Mapping[str, float]], panel: Panel) -> None:
    """Write ``curves.csv`` and ``curves.png``."""
    table = pd.DataFrame(list(rows))
    contents = {"curves.csv": table.to_csv(index=False).encode(), "curves.png": curves_png(table, panel)}
    for name, content in contents.items():
        with whole_file(folder / name, make_folder=True) as partial:
            partial.write_bytes(content)


def curves_png(table: pd.DataFrame, panel: Panel) -> bytes:
    """Return a picture of the loss and of the columns of a panel over the updates."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(table["step"], table["loss"], color="black", marker=".")
    left.set(xlabel="updates", ylabel="training loss", yscale="log")
    for name in panel.thin:
        right.plot(table["step"], table[name], linewidth=0.8, label=name.replace("_", " "))
    for name, legend in panel.bold.items():
        right.plot(table["step"], table[name], color="black", linewidth=2, label=legend)
    right.set(xlabel="updates", ylabel=panel.label, ylim=panel.limits)
    right.legend(fontsize=6, loc="center left", bbox_to_anchor=(1, 0.5))
    written = BytesIO()
    figure.savefig(written, format="png", dpi=110)
    return written.getvalue()
