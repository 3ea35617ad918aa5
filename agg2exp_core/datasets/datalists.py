"""MONAI's datalists: JSON with the files of each split."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agg2exp_core.errors import UsageError, unknown_name
from agg2exp_core.files import whole_file
from agg2exp_core.user_tables import read_text

SPLITS = ("training", "validation", "test")
"""The splits that MONAI's own programs look for; a file may have others."""
_FILES = ("image", "label")


def read_datalist(path: str | Path, split: str = "test") -> list[dict[str, Any]]:
    """Return the entries of one split, their files as paths.

    Parameters
    ----------
    path : str or Path
        Such as ``{"training": [{"image": "s1/ct.nii.gz", "label": "s1/labels.nii.gz"}], "test": […]}``, with
        paths beside the file.
    split : str
        A key of the file.

    Returns
    -------
    list of dict
        Each with ``image`` and, where it has one, ``label`` as a path, and what else the entry says.

    Raises
    ------
    UsageError
        If there is no such file or split, or an entry names no single image.
    """
    path = Path(path)
    try:
        content = json.loads(read_text(path, str(path)))
    except ValueError as error:
        raise _wrong(path, f"nothing that can be read ({error})", "a datalist in JSON") from error
    content = content if isinstance(content, dict) else {}
    splits = [key for key, value in content.items() if isinstance(value, list)]
    if split not in splits:
        raise unknown_name(f"{path}, split", split, splits, none="a list of scans for each split")
    entries = [{"image": entry} if isinstance(entry, str) else entry for entry in content[split]]
    for n, entry in enumerate(entries):
        image = entry.get("image") if isinstance(entry, dict) else None
        if not isinstance(image, str):
            got = f"{len(image)} images" if isinstance(image, list) else "no image"
            raise _wrong(path, f"{got} in entry {n} of {split!r}", "one file each, with all its channels")
    return [
        {key: path.parent / str(value) if key in _FILES else value for key, value in entry.items()}
        for entry in entries
    ]


def write_datalist(
    path: str | Path,
    splits: Mapping[str, Sequence[Mapping[str, Any]]],
    class_names: Sequence[str] = (),
) -> None:
    """Write a datalist that MONAI reads; files below its folder become relative.

    Parameters
    ----------
    path : str or Path
        The file to write.
    splits : mapping of str to sequence of mappings
        Entries of each split, with ``image`` and perhaps ``label``, and JSON-ready values.
    class_names : sequence of str
        Names of the labels by index, kept under ``labels``.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    path = Path(path)
    content: dict[str, Any] = {"labels": {str(n): name for n, name in enumerate(class_names)}}
    for split, entries in splits.items():
        content[split] = [
            {key: _relative(path.parent, value) if key in _FILES else value for key, value in entry.items()}
            for entry in entries
        ]
    with whole_file(path, make_folder=True) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n")


def _relative(folder: Path, file: Any) -> str:
    full, base = Path(os.path.abspath(file)), Path(os.path.abspath(folder))  # noqa: PTH100 - links are kept
    return str(full.relative_to(base)) if full.is_relative_to(base) else str(full)


def _wrong(path: Path, got: str, allowed: str) -> UsageError:
    return UsageError(path, got=got, allowed=allowed, remedy="correct the file, or name another")
