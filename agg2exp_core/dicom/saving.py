"""DICOM objects as files that are there complete or not at all."""

from __future__ import annotations

from pathlib import Path

from pydicom.dataset import Dataset

from agg2exp_core.dicom.quiet import quiet
from agg2exp_core.files import whole_file


def save(path: Path, dataset: Dataset) -> None:
    """Write an object; an existing file is replaced, and its folder made.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    with whole_file(path) as partial, quiet():
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(partial, enforce_file_format=True)
