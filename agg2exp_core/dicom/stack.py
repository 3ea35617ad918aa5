"""Slices in order: the grid that they span, or what keeps them from spanning one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agg2exp_core.dicom.copies import without_copies
from agg2exp_core.dicom.headers import Header, NotWantedError
from agg2exp_core.dicom.series import Rules, Series
from agg2exp_core.errors import ScanError
from agg2exp_core.remarks import Remark
from agg2exp_core.types import Affine, Grid

ANGLE_TOLERANCE = 1e-3
"""Between directions, in radians."""
STEP_TOLERANCE = 0.02
"""Of the way between neighbouring slices, as a share of it: positions are rounded, tables are not exact."""
COARSEST_DIGIT = {"position": 0.1, "orientation": 0.01}
TILT_TOLERANCE = 0.05
"""Of the gantry as a header tells it, in degrees."""
MOST_ODD = 3
"""Images of another plane or size that a series may hold beside its slices: its scouts."""
ODD, COPIES = "images of another plane or size", "copies of slices"
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
    remarks : tuple of Remark
        Which files of the series were left out, and what else is doubtful.
    """

    headers: tuple[Header, ...]
    grid: Grid
    remarks: tuple[Remark, ...] = ()


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
    wanted, left_out = rules.wanted(series)
    try:
        return _on_a_grid(wanted, rules, left_out)
    except NotWantedError:
        raise
    except ScanError as error:
        alike, odd = _alike(wanted)
        if odd is None or len(odd.headers) > MOST_ODD or len(alike.headers) < rules.min_slices:
            raise
        refusal = error
    try:  # a scout that says to be a slice lies in another plane, and what is left has no gap
        return _on_a_grid(alike, rules, left_out + Counter({ODD: len(odd.headers)}))
    except ScanError:
        raise refusal from None


def _alike(series: Series) -> tuple[Series, Series | None]:
    """Return the slices of the size and orientation that most have, and the others."""

    def kind(header: Header) -> tuple[object, ...]:
        way = None if header.orientation is None else tuple(round(v, 1) + 0.0 for v in header.orientation)
        return header.rows, header.columns, way, header.position is None

    most = Counter(map(kind, series.headers)).most_common(1)[0][0]
    alike = tuple(header for header in series.headers if kind(header) == most)
    odd = tuple(header for header in series.headers if kind(header) != most)
    return Series(alike), Series(odd) if odd else None


def _on_a_grid(series: Series, rules: Rules, left_out: Counter[str]) -> Stack:
    along_row, down_column = _directions(series)
    _check_equal(series)
    # file names and instance numbers may lie about the order; positions along the normal do not
    normal = np.cross(along_row, down_column)
    positions = np.array([header.position for header in series.headers])  # [slices, 3]
    single = without_copies(series.headers, positions)
    n_copies = len(series.headers) - len(single)
    series, positions = Series(tuple(series.headers[i] for i in single)), positions[single]
    if len(series.headers) < rules.min_slices:
        rules.wanted(series)  # raises
    order = np.argsort(positions @ normal, kind="stable")
    headers = tuple(series.headers[i] for i in order)
    step = _uniform_step(series, positions[order], normal)
    rules.check_spacing(series, float(np.linalg.norm(step)))
    between_rows, between_columns = _finest_spacing(series)
    # the first axis of a volume counts columns, which lie along a row; PixelSpacing gives rows first
    axes = np.stack([along_row * between_columns, down_column * between_rows, step], axis=1)
    grid = Grid((headers[0].columns, headers[0].rows, len(headers)), _ras_affine(axes, positions[order][0]))
    return Stack(headers, grid, _remarks(headers, left_out + Counter({COPIES: n_copies})))


def _remarks(headers: Sequence[Header], left_out: Counter[str]) -> tuple[Remark, ...]:
    remarks = [
        Remark("series", f"{n} file{'' if n == 1 else 's'} of the series left out: {why}")
        for why, n in left_out.items()
        if n
    ]
    tilts = {header.tilt_degrees for header in headers}
    if max(map(abs, tilts)) > TILT_TOLERANCE:
        said = " and ".join(f"{degrees:g}" for degrees in sorted(tilts)[:2])
        remarks.append(
            Remark("geometry", f"the header tells of a gantry tilted by {said} degrees, the positions do not")
        )
    if any(header.rescale_type == "US" for header in headers):
        remarks.append(Remark("units", "the rescale type is unspecified (US), and is taken for HU"))
    return tuple(remarks)


def _directions(series: Series) -> tuple[Vectors, Vectors]:
    """Return the unit vectors along a row and down a column, which all slices share."""
    if any(header.position is None or header.orientation is None for header in series.headers):
        raise _unusable(
            series,
            "a slice without a position or an orientation",
            "ImagePositionPatient and ImageOrientationPatient",
        )
    tolerance = max(ANGLE_TOLERANCE, _digit(series, "orientation"))
    directions = np.array([header.orientation for header in series.headers]).reshape(-1, 2, 3)
    lengths = np.linalg.norm(directions, axis=2)
    dots = np.einsum("ni,ni->n", directions[:, 0], directions[:, 1])
    if max(np.abs(lengths - 1).max(), np.abs(dots).max()) > tolerance:
        raise _unusable(series, "an orientation whose directions are no right angle", "two unit vectors")
    spread = float(np.abs(directions - directions[0]).max())
    if spread > tolerance:
        raise _unusable(series, f"slices of mixed orientation (up to {spread:.3g} apart)", "one orientation")
    finest = int(np.argmin([header.digits.orientation for header in series.headers]))
    along_row = directions[finest, 0] / lengths[finest, 0]
    # rounded in the file: made exactly orthogonal, so that the affine has no shear
    down_column = directions[finest, 1] - along_row * (along_row @ directions[finest, 1])
    return along_row, down_column / np.linalg.norm(down_column)


def _check_equal(series: Series) -> None:
    """Refuse slices of several patients or sizes."""
    if len({header.identity for header in series.headers}) > 1:
        raise _unusable(series, "slices of several patients or studies", "one patient and study a series")
    sizes = {(header.rows, header.columns) for header in series.headers}
    if len(sizes) > 1 or not _is_one_spacing(series):
        said = {(header.rows, header.columns, header.spacing_mm) for header in series.headers}
        text = " and ".join(f"{rows} x {columns} of {mm} mm" for rows, columns, mm in sorted(said)[:2])
        raise _unusable(series, f"slices of {text}", "slices of one size")


def _is_one_spacing(series: Series) -> bool:
    """Return whether the pixel spacings are one number, written with more or fewer digits."""
    finest = np.array(_finest_spacing(series))
    written = np.array([header.spacing_mm for header in series.headers])  # [slices, 2]
    halves = np.array([header.digits.spacing for header in series.headers])[:, None] / 2
    tolerance = np.clip(halves, 1e-5 * finest, 1e-2 * finest)
    return bool((np.abs(written - finest) <= tolerance * (1 + 1e-9)).all())


def _finest_spacing(series: Series) -> tuple[float, float]:
    """Return the pixel spacing that is written with most digits: between rows, between columns."""
    finest = min(series.headers, key=lambda header: header.digits.spacing or np.inf)
    assert finest.spacing_mm is not None
    between_rows, between_columns = finest.spacing_mm
    return between_rows, between_columns


def _digit(series: Series, of: str) -> float:
    """Return the unit of the last digit with which the files of a series write positions or directions.

    It is 0 where it is coarser than any rounding: whole numbers are meant as they stand. A position may end
    in a zero that is not written, so that the finest counts; of directions the coarsest does.
    """
    if of == "position":
        digit = min(header.digits.position for header in series.headers)
        return digit if digit <= COARSEST_DIGIT[of] else 0.0
    digits = [header.digits.orientation for header in series.headers]
    return max((digit for digit in digits if digit <= COARSEST_DIGIT[of]), default=0.0)


def _uniform_step(series: Series, positions: Vectors, normal: Vectors) -> Vectors:
    """Return the way from each slice to the next ``[3]``, the same for all and along the normal.

    `positions` ``[slices, 3]`` are in order. Steps may differ by their tolerance, or by what the digits of
    the positions leave open.
    """
    steps = np.diff(positions, axis=0)  # [slices - 1, 3]
    ways = steps @ normal  # [slices - 1]
    middle = float(np.median(ways))  # the mean would hide a gap in itself
    tolerance = STEP_TOLERANCE * middle
    n_doubled = int(np.count_nonzero(ways <= max(tolerance, 1e-3)))
    if n_doubled:
        raise _unusable(series, f"{n_doubled} slices at a position that another has", "one slice a position")
    widest = float(ways.max())
    mean: Vectors = steps.mean(axis=0)
    digit = _digit(series, "position")
    # half a digit of each position, and of the two at the ends, from which the step follows
    rounding = digit * (1 + 1e-6) if digit < middle / 2 else 0.0
    off_grid = np.abs((positions - positions[0] - np.arange(len(positions))[:, None] * mean) @ normal)
    if np.abs(ways - middle).max() > tolerance and off_grid.max() > rounding:
        n_uneven = int(np.count_nonzero(np.abs(ways - middle) > tolerance))
        raise _unusable(
            series,
            f"{n_uneven} gaps of up to {widest:.4g} mm between slices {middle:.4g} mm apart",
            "slices at equal distances",
        )
    # a tilted gantry shifts each slice within its plane, by the same way every time
    sideways = mean - normal * (mean @ normal)
    tilt = float(np.arctan2(np.linalg.norm(sideways), mean @ normal))
    if tilt > max(ANGLE_TOLERANCE * 5, 2 * _digit(series, "orientation")):
        raise _unusable(
            series, f"a gantry tilted by {np.degrees(tilt):.3g} degrees", "slices stacked along their normal"
        )
    if np.abs(steps - mean).max() > max(tolerance, 1e-3, 2 * rounding):
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
