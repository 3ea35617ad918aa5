"""DICOM files found, read without harm and without naming anybody, and written whole."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset

from agg2exp_core.errors import ScanError
from agg2exp_core.files import whole_file

PREAMBLE_BYTES = 128
MAGIC = b"DICM"
_FIRST_ELEMENTS = frozenset(
    (8).to_bytes(2, "little") + element.to_bytes(2, "little")
    for element in (0x0000, 0x0001, 0x0005, 0x0006, 0x0008, 0x0012, 0x0013, 0x0014, 0x0016, 0x0018)
)
"""With which a data set of an image begins that was written without preamble and meta information."""
_LONGEST_FIRST = 1024
"""Bytes of such an element: others are no DICOM."""
_TALKATIVE = ("pydicom", "dicomweb_client", "urllib3")


def is_dicom(path: Path) -> bool:
    """Return whether a file begins as DICOM does: preamble and ``DICM``, or at once with its data set."""
    with path.open("rb") as stream:
        block = stream.read(PREAMBLE_BYTES + len(MAGIC))
    return has_preamble(block) or is_bare(block)


def has_preamble(block: bytes) -> bool:
    """Return whether the first bytes of a file are a preamble, then ``DICM``."""
    return block[PREAMBLE_BYTES:].startswith(MAGIC)


def is_bare(block: bytes) -> bool:
    """Return whether the first bytes of a file are those of a data set, little endian, without preamble."""
    if block[:4] not in _FIRST_ELEMENTS:
        return False
    explicit = is_explicit(block)
    return int.from_bytes(block[6:8] if explicit else block[4:8], "little") <= _LONGEST_FIRST


def is_explicit(block: bytes) -> bool:
    """Return whether the first element of a bare data set tells its type."""
    return block[4:6].isalpha() and block[4:6].isupper()


def files_in(folder: Path) -> list[Path]:
    """Return the files directly in a folder, by name, without hidden ones."""
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def files_below(folder: Path) -> list[Path]:
    """Return all files of a folder tree, by path, without hidden ones."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def holds_dicom(folder: Path) -> bool:
    """Return whether DICOM files lie directly in a folder."""
    return any(is_dicom(path) for path in files_in(folder))


class BoundedReader(io.BufferedReader):
    """A file opened for reading, in which a damaged length costs no memory.

    A plain file makes room for all that it is asked for, and an element of a damaged data set may claim 4 GB.

    Parameters
    ----------
    path : Path
        The file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._n_bytes = path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """Return at most `size` bytes, and no more than are left."""
        left = max(self._n_bytes - self.tell(), 0)
        return super().read(left if size is None or size < 0 else min(size, left))


@contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings and the loggers of pydicom and of the DICOMweb client while the context lasts.

    They quote values and addresses of a file, and those name people.
    """
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), disable_value_validation():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextmanager
def open_dicom(path: Path) -> Iterator[BoundedReader]:
    """Open a file for pydicom, and turn whatever the parser of a damaged one raises into one error.

    Raises
    ------
    ScanError
        If the body raises anything.
    """
    with quiet():
        try:
            with BoundedReader(path) as stream:
                yield stream
        except ScanError:
            raise
        except Exception as error:
            raise ScanError(
                path,
                got=f"a DICOM file that cannot be read ({type(error).__name__})",
                allowed="a complete, readable DICOM file",
                remedy="copy or export it again",
            ) from error


def save(path: Path, dataset: Dataset) -> None:
    """Write an object so that the file is there complete or not at all; its folder is made.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    with whole_file(path, make_folder=True) as partial, quiet():
        dataset.save_as(partial, enforce_file_format=True)
