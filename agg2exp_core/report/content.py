"""What a report shows, worked out from the data sets before any HTML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

BACKGROUND = "background"
MISSING = "\N{EN DASH}"


@dataclass(frozen=True)
class ReportFigure:
    """A picture of the report.

    Parameters
    ----------
    caption : str
        One line; also the picture's alternative text.
    png : bytes
        The picture's file.
    explanation : str
        How to read it, in a sentence or two.
    """

    caption: str
    png: bytes
    explanation: str


@dataclass(frozen=True)
class ScanLine:
    """What became of one scan.

    Parameters
    ----------
    scan_id : str
    status : str
        One word, such as ``done`` or ``failed``.
    reason : str
        Why it was not done; empty for a scan that was.
    n_classes : int
        Classes that were explained.
    seconds : float
        Wall time.
    """

    scan_id: str
    status: str
    reason: str
    n_classes: int
    seconds: float


@dataclass(frozen=True)
class Cell:
    """A cell of the matrix: its text, and a heat from 0 to 1 (None: missing)."""

    text: str
    heat: float | None
    is_own: bool


@dataclass(frozen=True)
class ClassLine:
    """One class at a glance.

    Parameters
    ----------
    name : str
    n_scans : int
        Scans in which the class was found and explained.
    background, own : float
        Mean share of its attribution in the background and in the class itself.
    own_range : tuple of float
        Lowest and highest share in the class itself over scans.
    others : tuple of (str, float)
        The strongest other regions and their mean shares.
    """

    name: str
    n_scans: int
    background: float
    own: float
    own_range: tuple[float, float]
    others: tuple[tuple[str, float], ...]


def percent(share: float, digits: int = 1) -> str:
    """Return a share as a percentage, a dash for a missing one."""
    return MISSING if np.isnan(share) else f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def heat_rows(mean: xr.DataArray, decimals: int = 1) -> list[tuple[str, list[Cell]]]:
    """Return the rows of a matrix ``(target, roi)`` of shares, as percentages.

    Heat is the square root of a share divided by the largest: of the background for that region, of
    all others for the rest.
    """
    names = [str(name) for name in mean["roi"].values]
    inner = mean.sel(roi=[name for name in names if name != BACKGROUND])
    tops = {name: _largest(mean.sel(roi=name) if name == BACKGROUND else inner) for name in names}

    def cell(target: str, roi: str) -> Cell:
        share = float(mean.sel(target=target, roi=roi))
        heat = None if np.isnan(share) else float(np.sqrt(max(share, 0.0) / tops[roi]))
        return Cell(MISSING if heat is None else f"{100 * share:.{decimals}f}", heat, target == roi)

    targets = [str(name) for name in mean["target"].values]
    return [(target, [cell(target, roi) for roi in names]) for target in targets]


def class_lines(mean: xr.DataArray, local: xr.Dataset, n_others: int = 3) -> list[ClassLine]:
    """Return one line for each class but background, in the order of the matrix."""
    return [
        _class_line(str(name), mean, local["mass"], n_others)
        for name in mean["target"].values
        if name != BACKGROUND
    ]


def _class_line(name: str, mean: xr.DataArray, mass: xr.DataArray, n_others: int) -> ClassLine:
    row = {str(roi): float(mean.sel(target=name, roi=roi)) for roi in mean["roi"].values}
    kinds = _kinds(mean)
    others = [
        (roi, share)
        for roi, share in row.items()
        if roi not in (name, BACKGROUND) and kinds[roi] != "merged" and not np.isnan(share)
    ]
    over_scans = mass.sel(target=name).notnull().any("roi")
    own = np.asarray(mass.sel(target=name, roi=name)) if name in mass["roi"].values else np.array([np.nan])
    own = own[~np.isnan(own)]
    return ClassLine(
        name,
        n_scans=int(over_scans.sum()),
        background=row.get(BACKGROUND, np.nan),
        own=row.get(name, np.nan),
        own_range=(float(own.min()), float(own.max())) if own.size else (np.nan, np.nan),
        others=tuple(sorted(others, key=lambda other: (-other[1], other[0]))[:n_others]),
    )


def flatten(settings: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the leaves of nested settings as ``a.b.c``, text."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", str(value)


def _kinds(matrix: xr.DataArray) -> dict[str, str]:
    names = [str(name) for name in matrix["roi"].values]
    if "roi_kind" not in matrix.coords:
        return dict.fromkeys(names, "class")
    return dict(zip(names, map(str, matrix["roi_kind"].values), strict=True))


def _largest(values: xr.DataArray) -> float:
    numbers = np.asarray(values.values, dtype=np.float64)
    return float(np.nanmax(numbers, initial=0.0)) or 1.0
