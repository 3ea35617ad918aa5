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
_TALKATIVE = ("pydicom", "dicomweb_client", "urllib3")


def is_dicom(path: Path) -> bool:
    """Return whether a file begins as DICOM files do: a preamble, then ``DICM``."""
    with path.open("rb") as stream:
        return stream.read(PREAMBLE_BYTES + len(MAGIC))[PREAMBLE_BYTES:] == MAGIC


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
