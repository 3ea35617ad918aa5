"""Slices in order: the grid that they span, or what keeps them from spanning one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agg2exp_core.dicom.headers import Header
from agg2exp_core.dicom.series import Rules, Series
from agg2exp_core.errors import ScanError
from agg2exp_core.types import Affine, Grid

ANGLE_TOLERANCE = 1e-3
"""Between directions, in radians."""
STEP_TOLERANCE = 0.02
"""Of the way between neighbouring slices, as a share of it: positions are rounded, tables are not exact."""
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
"""DICOM's axes point left and back, those of a volume here right and front."""

Vectors = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices of one series in order along their normal, on a grid.

    Parameters
    ----------
    headers : tuple of Header
        One a slice, in the order of the third axis.
    grid : Grid
        Columns, rows, slices; RAS.
    """

    headers: tuple[Header, ...]
    grid: Grid


def stack(series: Series, rules: Rules) -> Stack:
    """Put the slices of a series in order, by position along their normal.

    Parameters
    ----------
    series : Series
        Its files in any order.
    rules : Rules
        Which series are taken.

    Raises
    ------
    NotWantedError
        If a rule keeps the series out.
    ScanError
        If its slices span no grid: directions or sizes that differ, two at one position, a gap, a tilted
        gantry.
    """
    rules.check(series)
    along_row, down_column = _directions(series)
    _check_equal(series)
    # file names and instance numbers may lie about the order; positions along the normal do not
    normal = np.cross(along_row, down_column)
    positions = np.array([header.position for header in series.headers])  # [slices, 3]
    order = np.argsort(positions @ normal, kind="stable")
    headers = tuple(series.headers[i] for i in order)
    steps = np.diff(positions[order], axis=0)  # [slices - 1, 3]
    step = _uniform_step(series, steps, normal)
    rules.check_spacing(series, float(np.linalg.norm(step)))
    first = headers[0]
    assert first.spacing_mm is not None
    between_rows, between_columns = first.spacing_mm
    # the first axis of a volume counts columns, which lie along a row; PixelSpacing gives rows first
    axes = np.stack([along_row * between_columns, down_column * between_rows, step], axis=1)
    grid = Grid((first.columns, first.rows, len(headers)), _ras_affine(axes, positions[order][0]))
    return Stack(headers, grid)


def _directions(series: Series) -> tuple[Vectors, Vectors]:
    """Return the unit vectors along a row and down a column, which all slices share."""
    if any(header.position is None or header.orientation is None for header in series.headers):
        raise _unusable(
            series,
            "a slice without a position or an orientation",
            "ImagePositionPatient and ImageOrientationPatient",
        )
    directions = np.array([header.orientation for header in series.headers]).reshape(-1, 2, 3)
    lengths = np.linalg.norm(directions, axis=2)
    dots = np.einsum("ni,ni->n", directions[:, 0], directions[:, 1])
    if max(np.abs(lengths - 1).max(), np.abs(dots).max()) > ANGLE_TOLERANCE:
        raise _unusable(series, "an orientation whose directions are no right angle", "two unit vectors")
    spread = float(np.abs(directions - directions[0]).max())
    if spread > ANGLE_TOLERANCE:
        raise _unusable(series, f"slices of mixed orientation (up to {spread:.3g} apart)", "one orientation")
    along_row = directions[0, 0] / lengths[0, 0]
    # rounded in the file: made exactly orthogonal, so that the affine has no shear
    down_column = directions[0, 1] - along_row * (along_row @ directions[0, 1])
    return along_row, down_column / np.linalg.norm(down_column)


def _check_equal(series: Series) -> None:
    """Refuse slices of several patients or sizes."""
    if len({header.identity for header in series.headers}) > 1:
        raise _unusable(series, "slices of several patients or studies", "one patient and study a series")
    sizes = {(header.rows, header.columns, header.spacing_mm) for header in series.headers}
    if len(sizes) > 1:
        said = " and ".join(f"{rows} x {columns} of {mm} mm" for rows, columns, mm in sorted(sizes)[:2])
        raise _unusable(series, f"slices of {said}", "slices of one size")


def _uniform_step(series: Series, steps: Vectors, normal: Vectors) -> Vectors:
    """Return the way from each slice to the next ``[3]``, which is the same for all and along the normal."""
    ways = steps @ normal  # [slices - 1]
    middle = float(np.median(ways))  # the mean would hide a gap in itself
    tolerance = STEP_TOLERANCE * middle
    n_doubled = int(np.count_nonzero(ways <= max(tolerance, 1e-3)))
    if n_doubled:
        raise _unusable(series, f"{n_doubled} slices at a position that another has", "one slice a position")
    widest = float(ways.max())
    if np.abs(ways - middle).max() > tolerance:
        n_uneven = int(np.count_nonzero(np.abs(ways - middle) > tolerance))
        raise _unusable(
            series,
            f"{n_uneven} gaps of up to {widest:.4g} mm between slices {middle:.4g} mm apart",
            "slices at equal distances",
        )
    mean: Vectors = steps.mean(axis=0)
    # a tilted gantry shifts each slice within its plane, by the same way every time
    sideways = mean - normal * (mean @ normal)
    tilt = float(np.arctan2(np.linalg.norm(sideways), mean @ normal))
    if tilt > ANGLE_TOLERANCE * 5:
        raise _unusable(
            series, f"a gantry tilted by {np.degrees(tilt):.3g} degrees", "slices stacked along their normal"
        )
    if np.abs(steps - mean).max() > max(tolerance, 1e-3):
        raise _unusable(series, "slices that are shifted against each other", "slices in one column")
    return normal * (mean @ normal)


def _ras_affine(axes: Vectors, origin: Vectors) -> Affine:
    affine = np.eye(4)
    affine[:3, :3] = LPS_TO_RAS @ axes
    affine[:3, 3] = LPS_TO_RAS @ origin
    return affine


def _unusable(series: Series, got: str, allowed: str) -> ScanError:
    return ScanError(
        series.where,
        got=got,
        allowed=allowed,
        remedy="send the series again, or reconstruct it anew at the scanner",
    )
