"""Series: which files belong together, and which series are taken, each refusal in one sentence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom.uid import CTImageStorage

from agg2exp_core.dicom.headers import Header, NotWantedError

LARGEST_EDGE = 4096
"""Rows or columns; CT matrices have 256 to 2048."""
HOUNSFIELD_UNITS = ("", "HU", "US")
"""Rescale types that Hounsfield units go by; US is unspecified, and the voxels are looked at later."""
ROUNDING = 5e-3
"""Share by which a spacing may miss its limits: by rounded positions slices of 5 mm lie 5.0004 mm apart."""


@dataclass(frozen=True)
class Series:
    """The files of one series, in no order.

    Parameters
    ----------
    headers : tuple of Header
        At least one.
    """

    headers: tuple[Header, ...]

    @property
    def where(self) -> Path:
        """The folder of its first file, for messages."""
        return self.headers[0].path.parent


@dataclass(frozen=True)
class Rules:
    """Which series are taken.

    Parameters
    ----------
    modality : str
        Of the series.
    image_type : tuple of str
        How its image type begins: an original, primary, axial image is neither localizer nor derived.
    min_slices : int
        A series with fewer is no scan of a body part.
    pixel_spacing_mm, slice_spacing_mm : tuple of float
        Least and largest.
    """

    modality: str = "CT"
    image_type: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "AXIAL")
    min_slices: int = 16
    pixel_spacing_mm: tuple[float, float] = (0.1, 3.0)
    slice_spacing_mm: tuple[float, float] = (0.1, 5.0)

    def wanted(self, series: Series) -> tuple[Series, Counter[str]]:
        """Return the files of a series that are wanted, and how many are left out for which reason.

        Raises
        ------
        NotWantedError
            If too few are left: with the first rule that the series breaks.
        """
        kept, left_out = list(series.headers), Counter[str]()
        first: NotWantedError | None = None
        for allowed, holds, said in self._of_a_header():
            broken = [header for header in kept if not holds(header)]
            if broken:
                first = first or _not_wanted(series, said(broken[0]), allowed)
                left_out.update(said(header) for header in broken)
                kept = [header for header in kept if holds(header)]
        if len(kept) < self.min_slices:
            raise first or _not_wanted(series, f"{len(kept)} slices", f"at least {self.min_slices}")
        return Series(tuple(kept)), left_out

    def _of_a_header(self) -> Iterator[tuple[str, Callable[[Header], bool], Callable[[Header], str]]]:
        """Yield each rule: what is allowed, whether a header keeps it, and what else it says."""
        low, high = self.pixel_spacing_mm
        n_terms = len(self.image_type)
        yield (
            self.modality,
            lambda h: h.modality == self.modality,
            lambda h: f"the modality {_term(h.modality)}",
        )
        yield (
            "CT Image Storage: one slice a file",
            lambda h: h.sop_class == CTImageStorage and h.n_frames == 1,
            lambda h: f"{h.n_frames} frames a file of the class {h.sop_class.keyword or 'unknown'}",
        )
        yield (
            " ".join(self.image_type),
            lambda h: h.image_type[:n_terms] == self.image_type,
            lambda h: f"the image type {' '.join(map(_term, h.image_type[:n_terms])) or 'nothing'}",
        )
        yield (
            "pixels that name nobody",
            lambda h: h.burned_in != "YES",
            lambda h: "pixels with burned-in annotation",
        )
        yield (
            f"one value a pixel, bright where it is large, up to {LARGEST_EDGE} x {LARGEST_EDGE} pixels",
            lambda h: (
                h.n_samples == 1
                and h.photometric == "MONOCHROME2"
                and h.bits in (8, 16, 32)
                and max(h.rows, h.columns) <= LARGEST_EDGE
                and min(h.rows, h.columns) > 1
            ),
            lambda h: (
                f"{h.n_samples} values of {h.bits} bits a pixel, {_term(h.photometric)}, "
                f"{h.rows} x {h.columns} pixels"
            ),
        )
        yield (
            "Hounsfield units: a rescale slope and intercept",
            lambda h: bool(h.slope) and h.intercept is not None and h.rescale_type in HOUNSFIELD_UNITS,
            lambda h: f"a rescale slope {h.slope} and intercept {h.intercept} to {_term(h.rescale_type)}",
        )
        yield (
            f"{low:g} to {high:g} mm",
            lambda h: h.spacing_mm is not None and all(_within(mm, low, high) for mm in h.spacing_mm),
            lambda h: f"pixels {h.spacing_mm} mm apart",
        )

    def check_spacing(self, series: Series, spacing_mm: float) -> None:
        """Refuse a series whose slices, once in order, are too close or too far apart.

        Raises
        ------
        NotWantedError
            If `spacing_mm`, from slice to slice, is out of the limits.
        """
        low, high = self.slice_spacing_mm
        if not _within(spacing_mm, low, high):
            got, allowed = f"slices {spacing_mm:.4g} mm apart", f"{low:g} to {high:g} mm"
            raise _not_wanted(series, got, allowed)


def group(headers: Iterable[Header]) -> list[Series]:
    """Return the series of files: those with one SeriesInstanceUID, or without any in one folder."""
    by_uid: dict[tuple[str, ...], list[Header]] = {}
    for header in headers:
        uid = header.identity.series_uid
        by_uid.setdefault((uid,) if uid else ("", str(header.path.parent)), []).append(header)
    return [Series(tuple(members)) for members in by_uid.values()]


def _within(mm: float, low: float, high: float) -> bool:
    """Return whether a spacing keeps to its limits, which are meant as rounded as files are."""
    return low * (1 - ROUNDING) <= mm <= high * (1 + ROUNDING)


def _not_wanted(series: Series, got: str, allowed: str) -> NotWantedError:
    return NotWantedError(series.where, got=got, allowed=allowed, remedy="choose another series of the study")


def _term(value: str) -> str:
    """Return a defined term of DICOM for a message; what may be anything else is not quoted."""
    if not value:
        return "nothing"
    return value if re.fullmatch(r"[A-Z0-9_ ]{1,16}", value) else "something else"
