"""What a file system says of a scan's files: tells, without reading them, that they are as they were."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from agg2exp_core.dicom import files_below, files_in, holds_dicom

_DIGITS = 16
"""Hexadecimal digits of a digest: of a million paths, two meet in one archive of 40 million."""


@dataclass(frozen=True)
class Stamp:
    """Which files a scan is read from, and when they were last written.

    Parameters
    ----------
    source : str
        Digest of the absolute path.
    state : str
        Digest of size and time of modification, in nanoseconds, of the file or of each file of a series.
    """

    source: str
    state: str

    def keyed(self, secret: bytes) -> Stamp:
        """Return the stamp as it may be stored: names of patients in a path cannot be guessed from it."""
        return replace(self, source=keyed(self.source, secret))


def keyed(source: str, secret: bytes) -> str:
    """Return a source's digest under a secret key."""
    return hmac.new(secret, source.encode(), hashlib.sha256).hexdigest()[:_DIGITS]


def source_of(path: str | Path) -> str:
    """Return the digest of a path; a link has the name that was given."""
    absolute = os.path.abspath(path)  # noqa: PTH100 - resolving costs a question to the disk for each folder
    return hashlib.sha256(os.fsencode(absolute)).hexdigest()[:_DIGITS]


def stamp_of(path: str | Path) -> Stamp:
    """Return the stamp of a NIfTI file, or of a folder with a DICOM series.

    Raises
    ------
    OSError
        If it is not there, or cannot be looked at.
    """
    files: Iterable[str | Path] = [path]
    if os.path.isdir(path):  # noqa: PTH112 - of an archive's scans, paths are not made twice
        files = files_in(Path(path)) if holds_dicom(Path(path)) else files_below(Path(path))
    return Stamp(source_of(path), state_of(files))


def state_of(files: Iterable[str | Path]) -> str:
    """Return the digest of names, sizes and times of modification of files.

    Raises
    ------
    OSError
        If one is not there, or cannot be looked at.
    """
    digest = hashlib.sha256()
    for file in files:
        found = os.stat(file)  # noqa: PTH116
        digest.update(os.fsencode(f"{os.path.basename(file)}\0{found.st_size}\0{found.st_mtime_ns}\0"))  # noqa: PTH119
    return digest.hexdigest()[:_DIGITS]
