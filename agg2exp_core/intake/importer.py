"""Series and files become de-identified scans: ``<scan_id>/ct.nii.gz``, one after the other."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agg2exp_core.dicom import (
    IdentityKey,
    LaterError,
    NotWantedError,
    Rules,
    Series,
    Stray,
    group,
    kept_metadata,
    read_headers,
    stack,
)
from agg2exp_core.errors import Agg2ExpError, ScanError
from agg2exp_core.intake.ledger import (
    ACCEPTED,
    FAILED,
    KNOWN,
    NO_IMAGE,
    NOT_WANTED,
    QUARANTINED,
    ImportRecord,
    Ledger,
    write_json,
)
from agg2exp_core.remarks import sentence
from agg2exp_core.types import Volume
from agg2exp_core.volumes import read_nifti, volume_of, write_nifti
from agg2exp_core.volumes.discovery import EXTENSIONS

SCAN_FILE = "ct.nii.gz"
ABOUT_FILE = "scan.json"

_INT16 = np.iinfo(np.int16)


@dataclass(frozen=True)
class _Candidate:
    """A scan that was read: its id, its voxels, and what is kept of the patient."""

    scan_id: str
    volume: Volume
    kept: dict[str, str]


class _Part(NamedTuple):
    """The files of one scan, and what reads it."""

    files: Sequence[Path]
    read: Callable[[], _Candidate]


@dataclass(frozen=True)
class Importer:
    """Imports scans into a folder, each once.

    Parameters
    ----------
    into : Path
        Folder of the scans.
    key : IdentityKey
        From which ids follow.
    rules : Rules
        Which series are wanted.
    keep : tuple of {"age", "sex"}
        What is kept of a patient.
    """

    into: Path
    key: IdentityKey
    rules: Rules
    keep: tuple[str, ...] = ()

    @property
    def ledger(self) -> Ledger:
        """The records of the folder."""
        return Ledger(self.into)

    def token(self, unit: str, state: str) -> str:
        """Return what a unit of a source, as it lies there, is called in the ledger."""
        return self.key.digest("arrival", unit, state, repr(self.rules))

    def import_files(self, files: Sequence[Path]) -> list[ImportRecord]:
        """Import the series and NIfTI files among some files; one that is bad does not stop the others.

        Parameters
        ----------
        files : sequence of Path
            Those of one unit of a source.

        Returns
        -------
        list of ImportRecord
            One a series and NIfTI file; files that are neither DICOM images nor NIfTI have one together.
        """
        return [self._import(part) for part in self._parts(files)]

    def _parts(self, files: Sequence[Path]) -> Iterator[_Part]:
        nifti = [path for path in files if path.name.endswith(EXTENSIONS)]
        for path in nifti:
            yield _Part([path], partial(self._from_nifti, path))
        headers, strays = read_headers(path for path in files if not path.name.endswith(EXTENSIONS))
        no_images = [stray for stray in strays if isinstance(stray.error, NotWantedError)]
        if no_images:
            yield _Part([stray.path for stray in no_images], partial(_refuse, _no_images(no_images)))
        damaged = [stray for stray in strays if not isinstance(stray.error, NotWantedError)]
        for stray in damaged:
            yield _Part([stray.path], partial(_refuse, stray.error))
        folders = {stray.path.parent for stray in damaged}
        for series in group(headers):
            paths = [header.path for header in series.headers]
            if folders.isdisjoint(path.parent for path in paths):
                yield _Part(paths, partial(self._from_dicom, series))
            else:  # the damaged file may be a slice of it, and a scan without one would look whole
                yield _Part(paths, partial(_refuse, _beside_damaged(series)))

    def _import(self, part: _Part) -> ImportRecord:
        content = ""
        try:
            content = self._content(part.files)
            known = self.ledger.record(content)
            if known is not None and known.rules in ("", repr(self.rules)):
                return ImportRecord(content, KNOWN, known.scan_id, known.reason)
            record = self._keep(content, part.read())
        except _NoImageError as error:
            return ImportRecord(content, NO_IMAGE, reason=error.reason)  # under another name they may be one
        except NotWantedError as error:
            record = ImportRecord(content, NOT_WANTED, reason=error.reason, rules=repr(self.rules))
        except Agg2ExpError as error:
            if _may_pass(error):
                return ImportRecord(content, FAILED, reason=error.reason)
            record = ImportRecord(content, QUARANTINED, reason=error.reason)
        except Exception as error:
            return ImportRecord.failed(error, content)
        self.ledger.keep(record)
        return record

    def _content(self, files: Sequence[Path]) -> str:
        """Return the keyed hash of the bytes of some files, whatever their names and order."""
        digests = []
        for path in files:
            with path.open("rb") as stream:
                digests.append(hashlib.file_digest(stream, "sha256").hexdigest())
        return self.key.digest("content", *sorted(digests))

    def _from_nifti(self, path: Path) -> _Candidate:
        volume = read_nifti(path)
        return _Candidate(self.key.scan_id(volume.content_hash), volume, {})

    def _from_dicom(self, series: Series) -> _Candidate:
        slices = stack(series, self.rules)
        volume = volume_of(slices, "series")
        first = slices.headers[0]
        whose = first.identity
        names = [whose.patient_id, whose.study_uid, whose.series_uid]
        if not whose.series_uid:  # without it, what the series shows is all that tells it from another
            names.append(volume.content_hash)
        return _Candidate(self.key.scan_id(*names), volume, kept_metadata(first, self.keep))

    def _keep(self, content: str, candidate: _Candidate) -> ImportRecord:
        """Write a scan, its description last: a scan that has one is complete."""
        folder = self.into / candidate.scan_id
        n_slices = candidate.volume.grid.shape[2]
        has_scan = (folder / ABOUT_FILE).exists() and (folder / SCAN_FILE).exists()
        before = json.loads((folder / ABOUT_FILE).read_text()) if has_scan else None
        if before is not None and before["content_hash"] == candidate.volume.content_hash:
            return ImportRecord(content, ACCEPTED, candidate.scan_id)
        if before is not None and n_slices <= before["n_slices"]:
            raise _other_version(folder, n_slices, before["n_slices"])
        folder.mkdir(parents=True, exist_ok=True)
        about = {"content_hash": candidate.volume.content_hash, "n_slices": n_slices, **candidate.kept}
        write_nifti(folder / SCAN_FILE, _smallest(candidate.volume.values), candidate.volume.grid)
        write_json(folder / ABOUT_FILE, about)
        return ImportRecord(content, ACCEPTED, candidate.scan_id, sentence(candidate.volume.remarks))


class _NoImageError(NotWantedError):
    """Files among which is no image."""


def _no_images(strays: Sequence[Stray]) -> ScanError:
    kinds = Counter(stray.error.got for stray in strays)
    said = ", ".join(f"{n} x {got}" for got, n in sorted(kinds.items()))
    return _NoImageError(
        "SOURCE",
        got=f"{len(strays)} files passed over: {said}",
        allowed="DICOM images and NIfTI",
        remedy="nothing has to be done where no scan is missing",
    )


def _beside_damaged(series: Series) -> ScanError:
    return LaterError(
        series.where,
        got="a series beside a damaged file, which may be one of its slices",
        allowed="folders without damaged files",
        remedy="send the study again; it is tried again the next time",
    )


def _other_version(folder: Path, n_slices: int, n_before: int) -> ScanError:
    return ScanError(
        folder,
        got=f"another version of {folder.name}, imported with {n_before} slices: this one has {n_slices}",
        allowed="a version with more slices, which takes its place",
        remedy=f"remove the folder {folder.name} to take this one instead, and send it again",
    )


def _refuse(error: ScanError) -> _Candidate:
    raise error


def _may_pass(error: Agg2ExpError) -> bool:
    """Say whether an error may be gone the next time, as those that are not of the scan itself may."""
    if isinstance(error, LaterError) or not isinstance(error, ScanError):
        return True
    cause = error.__cause__
    return isinstance(cause, OSError) and not isinstance(cause, gzip.BadGzipFile)


def _smallest(values: NDArray[np.float32]) -> NDArray[np.float32] | NDArray[np.int16]:
    """Return values as int16 where that loses nothing."""
    if values.min() < _INT16.min or values.max() > _INT16.max or bool((values != np.rint(values)).any()):
        return values
    return values.astype(np.int16)
