"""The header of a DICOM file, parsed at the edge: of who was scanned, what tells series apart is read."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.filereader import read_dataset
from pydicom.multival import MultiValue
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from agg2exp_core.dicom.fileio import (
    MAGIC,
    PREAMBLE_BYTES,
    BoundedReader,
    has_preamble,
    is_dicom,
    is_explicit,
    open_dicom,
)
from agg2exp_core.errors import ScanError

_KEYWORDS = (
    *("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "PatientAge", "PatientSex"),
    *("SOPClassUID", "Modality", "ImageType", "BurnedInAnnotation"),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "GantryDetectorTilt"),
)


class NotWantedError(ScanError):
    """A file or series that is whole, and not what is asked for: a localizer, for one."""


class LaterError(ScanError):
    """A file or series that may become usable without a change to it."""


@dataclass(frozen=True)
class Identity:
    """Whose image it is, and of which series; never shown.

    Parameters
    ----------
    patient_id, study_uid, series_uid : str
        As in the file, empty where it says none.
    """

    patient_id: str = field(repr=False)
    study_uid: str = field(repr=False)
    series_uid: str = field(repr=False)


@dataclass(frozen=True)
class Digits:
    """The unit of the last digit of numbers as they are written: 0.01 of 3.25.

    Parameters
    ----------
    position, orientation, spacing : float
        The finest of each.
    """

    position: float = 0.0
    orientation: float = 0.0
    spacing: float = 0.0


@dataclass(frozen=True)
class Header:
    """What one DICOM file says of its image; None or empty where it says nothing.

    Parameters
    ----------
    path : Path
        The file.
    identity : Identity
        Whose image it is.
    age, sex : str
        Of the patient, as in the file.
    transfer_syntax, sop_class : UID
        How the pixels are coded, and what kind of object it is.
    modality : str
        ``CT``, for one.
    image_type : tuple of str
        ``("ORIGINAL", "PRIMARY", "AXIAL")``, for one.
    burned_in : str
        ``YES`` where the pixels themselves name somebody.
    rows, columns, n_frames, n_samples, bits : int
        Of the pixels: height, width, frames, values per pixel, bits per value.
    photometric : str
        ``MONOCHROME2`` where large values are bright.
    position : tuple of 3 float, optional
        Centre of the first pixel in mm, LPS.
    orientation : tuple of 6 float, optional
        Direction along a row, then down a column, LPS.
    spacing_mm : tuple of 2 float, optional
        Between rows, then between columns.
    slope, intercept : float, optional
        Intensity = slope * stored value + intercept.
    rescale_type : str
        The unit of that; empty means HU for CT.
    tilt_degrees : float
        Of the gantry, as the header says.
    digits : Digits
        How finely the numbers above are written.
    """

    path: Path
    identity: Identity
    age: str = field(repr=False)
    sex: str = field(repr=False)
    transfer_syntax: UID
    sop_class: UID
    modality: str
    image_type: tuple[str, ...]
    burned_in: str
    rows: int
    columns: int
    n_frames: int
    n_samples: int
    bits: int
    photometric: str
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing_mm: tuple[float, ...] | None
    slope: float | None
    intercept: float | None
    rescale_type: str
    tilt_degrees: float = 0.0
    digits: Digits = Digits()


@dataclass(frozen=True)
class Stray:
    """A file that is no part of a series.

    Parameters
    ----------
    path : Path
        The file.
    error : ScanError
        Why it is left out: NotWantedError where it is no DICOM image, else what is wrong with it.
    """

    path: Path
    error: ScanError


def read_headers(paths: Iterable[Path]) -> tuple[list[Header], list[Stray]]:
    """Read the headers of the DICOM files among others.

    Parameters
    ----------
    paths : iterable of Path
        Files of any kind.

    Returns
    -------
    headers : list of Header
        Of the DICOM files among them, in their order.
    strays : list of Stray
        All others, each with its reason.
    """
    headers: list[Header] = []
    strays: list[Stray] = []
    for path in paths:
        try:
            headers.append(_read_header(path))
        except ScanError as error:
            strays.append(Stray(path, error))
    return headers, strays


def _read_header(path: Path) -> Header:
    with open_dicom(path) as stream:
        if not is_dicom(path):
            raise _no_image(path, "a file that does not begin as DICOM does")
        meta = read_meta(stream)
        if meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
            raise _no_image(path, "a DICOM directory")
        syntax = UID(meta.get("TransferSyntaxUID", ""))
        _check_syntax(path, syntax)
        dataset = dcmread(stream, stop_before_pixels=True, specific_tags=list(_KEYWORDS), force=True)
        sop_class = UID(meta.get("MediaStorageSOPClassUID") or _text(dataset, "SOPClassUID"))
        if sop_class.keyword.endswith("ImageStorage") and not stream.read(1):
            raise ScanError(
                path,
                got="a file that ends before its pixels",
                allowed="a complete DICOM file",
                remedy="it is truncated: copy or export it again",
            )
        return Header(
            path=path,
            identity=Identity(*(_text(dataset, keyword) for keyword in _KEYWORDS[:3])),
            age=_text(dataset, "PatientAge"),
            sex=_text(dataset, "PatientSex"),
            transfer_syntax=syntax,
            sop_class=sop_class,
            modality=_text(dataset, "Modality"),
            image_type=tuple(str(value) for value in _values(dataset, "ImageType")),
            burned_in=_text(dataset, "BurnedInAnnotation"),
            rows=_count(dataset, "Rows", 0),
            columns=_count(dataset, "Columns", 0),
            n_frames=_count(dataset, "NumberOfFrames", 1),
            n_samples=_count(dataset, "SamplesPerPixel", 1),
            bits=_count(dataset, "BitsAllocated", 0),
            photometric=_text(dataset, "PhotometricInterpretation"),
            position=_numbers(dataset, "ImagePositionPatient", 3),
            orientation=_numbers(dataset, "ImageOrientationPatient", 6),
            spacing_mm=_numbers(dataset, "PixelSpacing", 2),
            slope=next(iter(_numbers(dataset, "RescaleSlope", 1) or ()), None),
            intercept=next(iter(_numbers(dataset, "RescaleIntercept", 1) or ()), None),
            rescale_type=_text(dataset, "RescaleType").upper(),
            tilt_degrees=next(iter(_numbers(dataset, "GantryDetectorTilt", 1) or ()), 0.0),
            digits=Digits(
                _digit(dataset, "ImagePositionPatient"),
                _digit(dataset, "ImageOrientationPatient"),
                _digit(dataset, "PixelSpacing"),
            ),
        )


def read_meta(stream: BoundedReader) -> Dataset:
    """Return the file's meta information, and nothing of its data set; rewind.

    A file without any is read as its first bytes show it to be coded.
    """
    block = stream.read(PREAMBLE_BYTES + len(MAGIC))
    if has_preamble(block):
        meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
    else:
        meta = Dataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian if is_explicit(block) else ImplicitVRLittleEndian
    stream.seek(0)
    return meta


def _check_syntax(path: Path, syntax: UID) -> None:
    """Refuse what cannot be decoded; a deflated data set may inflate to a thousand times its size."""
    known = "uncompressed, RLE, JPEG, JPEG-LS or JPEG 2000 pixels"
    try:
        decoder = None if syntax == DeflatedExplicitVRLittleEndian else get_decoder(syntax)
    except NotImplementedError:
        decoder = None
    if decoder is None:
        raise ScanError(
            path,
            got=f"the transfer syntax {syntax.name if syntax.is_transfer_syntax else 'of no known name'}",
            allowed=known,
            remedy="send the series in another transfer syntax, for instance Explicit VR Little Endian",
        )
    if not decoder.is_available:
        raise LaterError(
            path,
            got=f"the transfer syntax {syntax.name}, for which no decoder is installed",
            allowed=known,
            remedy="install the decoders: pip install agg2exp[dicom]",
        )


def _no_image(path: Path, got: str) -> NotWantedError:
    return NotWantedError(path, got=got, allowed="DICOM images", remedy="it is passed over")


def _values(dataset: FileDataset, keyword: str) -> list[Any]:
    value = dataset.get(keyword)
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, MultiValue | list) else [value]


def _text(dataset: FileDataset, keyword: str) -> str:
    return "\\".join(str(value) for value in _values(dataset, keyword)).strip()


def _digit(dataset: FileDataset, keyword: str) -> float:
    """Return the unit of the finest last digit among the values of an element, 0 where there are none."""
    texts = [str(getattr(value, "original_string", value)).strip() for value in _values(dataset, keyword)]
    try:
        exponents = [Decimal(text).normalize().as_tuple().exponent for text in texts]
    except InvalidOperation:
        return 0.0
    return min((10.0 ** min(e, 0) for e in exponents if isinstance(e, int)), default=0.0)


def _count(dataset: FileDataset, keyword: str, default: int) -> int:
    values = _values(dataset, keyword)
    return int(values[0]) if values else default


def _numbers(dataset: FileDataset, keyword: str, n: int) -> tuple[float, ...] | None:
    values = tuple(float(value) for value in _values(dataset, keyword))
    return values if len(values) == n and all(map(math.isfinite, values)) else None
