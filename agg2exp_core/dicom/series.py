"""Series: which files belong together, and which series are taken, each refusal in one sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom.uid import CTImageStorage

from agg2exp_core.dicom.headers import Header, NotWantedError

LARGEST_EDGE = 4096
"""Rows or columns; CT matrices have 256 to 2048."""


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

    def check(self, series: Series) -> None:
        """Refuse a series that its headers show not to be wanted.

        Raises
        ------
        NotWantedError
            With the first rule that it breaks.
        """
        for allowed, holds, said in self._of_a_header():
            broken = next((header for header in series.headers if not holds(header)), None)
            if broken is not None:
                raise _not_wanted(series, said(broken), allowed)
        if len(series.headers) < self.min_slices:
            raise _not_wanted(series, f"{len(series.headers)} slices", f"at least {self.min_slices}")

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
            lambda h: bool(h.slope) and h.intercept is not None and h.rescale_type in ("", "HU"),
            lambda h: f"a rescale slope {h.slope} and intercept {h.intercept} to {_term(h.rescale_type)}",
        )
        yield (
            f"{low:g} to {high:g} mm",
            lambda h: h.spacing_mm is not None and all(low <= mm <= high for mm in h.spacing_mm),
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
        if not low <= spacing_mm <= high:
            got, allowed = f"slices {spacing_mm:.4g} mm apart", f"{low:g} to {high:g} mm"
            raise _not_wanted(series, got, allowed)


def group(headers: Iterable[Header]) -> list[Series]:
    """Return the series of files: those with one SeriesInstanceUID, or without any in one folder."""
    by_uid: dict[tuple[str, ...], list[Header]] = {}
    for header in headers:
        uid = header.identity.series_uid
        by_uid.setdefault((uid,) if uid else ("", str(header.path.parent)), []).append(header)
    return [Series(tuple(members)) for members in by_uid.values()]


def _not_wanted(series: Series, got: str, allowed: str) -> NotWantedError:
    return NotWantedError(series.where, got=got, allowed=allowed, remedy="choose another series of the study")


def _term(value: str) -> str:
    """Return a defined term of DICOM for a message; what may be anything else is not quoted."""
    if not value:
        return "nothing"
    return value if re.fullmatch(r"[A-Z0-9_ ]{1,16}", value) else "something else"
