"""Where scans come from: a folder or an S3 prefix (a PACS has a module of its own)."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Protocol

from agg2exp_core.errors import Agg2ExpError, StoreError, UsageError
from agg2exp_core.s3 import s3_files
from agg2exp_core.volumes.discovery import EXTENSIONS

LOOSE = "."
"""The unit of the files that lie at the top and are no NIfTI: a flat export of DICOM files."""


class Source(Protocol):
    """A place with units: a NIfTI file, a folder, a series; their names are never shown."""

    def listing(self) -> dict[str, str]:
        """Return the state of each unit by its name; as long as it is the same nothing has been added."""

    def fetch(self, unit: str) -> AbstractContextManager[list[Path]]:
        """Have the files of a unit on this machine while the context lasts."""

    def whose(self, unit: str) -> tuple[str, str, str] | None:
        """Return patient, study and series of a listed unit, or None where only its files say it."""


def listed(source: Source) -> dict[str, str]:
    """Return the units of a source with their states.

    Raises
    ------
    StoreError
        If it does not answer.
    """
    try:
        return source.listing()
    except Agg2ExpError:
        raise
    except Exception as error:  # its text may hold addresses of series
        raise StoreError(
            "SOURCE",
            got=f"no listing ({type(error).__name__})",
            allowed="a folder, bucket or DICOMweb service that answers",
            remedy="check its address, that it is up, and the credentials in the environment",
        ) from None


class FolderSource:
    """A folder into which scans are dropped; nothing in it is changed.

    Parameters
    ----------
    root : Path
        NIfTI files, folders, or DICOM files at the top.

    Raises
    ------
    UsageError
        If there is no such folder.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise UsageError(
                root,
                got="a file" if root.exists() else "nothing there",
                allowed="a folder, s3://bucket/prefix, or the address of a DICOMweb service",
                remedy="check the source for a typo",
            )
        self._root = root

    def listing(self) -> dict[str, str]:
        """Return sizes and times of the files of each unit."""
        return _states(self._files())

    @contextmanager
    def fetch(self, unit: str) -> Iterator[list[Path]]:
        """Have the files where they lie."""
        yield [self._root / name for name, _ in self._files() if _unit(name) == unit]

    def whose(self, unit: str) -> None:
        """Return None: names of files say nothing that counts."""

    def _files(self) -> Iterator[tuple[str, str]]:
        for folder, children, names in os.walk(self._root):
            children[:] = sorted(child for child in children if not child.startswith("."))
            for name in sorted(names):
                path = Path(folder, name)
                if name.startswith(".") or not path.is_file():
                    continue
                with suppress(FileNotFoundError):  # taken away meanwhile
                    stat = path.stat()
                    relative = path.relative_to(self._root).as_posix()
                    yield relative, f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"


class S3Source:
    """A prefix in an S3 bucket; endpoint and credentials come from the environment.

    Parameters
    ----------
    uri : str
        ``s3://bucket/prefix``.
    """

    def __init__(self, uri: str) -> None:
        self._prefix = uri.removeprefix("s3://").strip("/")
        self._files = s3_files()

    def listing(self) -> dict[str, str]:
        """Return sizes and entity tags of the objects of each unit."""
        return _states((name, f"{info['size']} {info['ETag']}") for name, info in self._objects())

    @contextmanager
    def fetch(self, unit: str) -> Iterator[list[Path]]:
        """Have copies of the objects, in folders as there, under names of ours."""
        folders: dict[str, Path] = {}
        paths: list[Path] = []
        with tempfile.TemporaryDirectory() as root:
            for name, _ in self._objects():
                if _unit(name) == unit:
                    folder = folders.setdefault(name.rpartition("/")[0], Path(root, str(len(folders))))
                    folder.mkdir(exist_ok=True)
                    extension = next((e for e in EXTENSIONS if name.endswith(e)), "")
                    paths.append(folder / f"{len(paths):06d}{extension}")
                    self._files.get_file(f"{self._prefix}/{name}", str(paths[-1]))
            yield paths

    def whose(self, unit: str) -> None:
        """Return None: keys say nothing that counts."""

    def _objects(self) -> Iterator[tuple[str, dict[str, str]]]:
        for key, info in sorted(self._files.find(self._prefix, detail=True).items()):
            name = key.removeprefix(self._prefix).lstrip("/")
            if not any(part.startswith(".") for part in name.split("/")):
                yield name, info


def _unit(name: str) -> str:
    """Return the unit of a file: the folder at the top, the NIfTI file itself, or the loose files."""
    top, slash, _ = name.partition("/")
    return top if slash or name.endswith(EXTENSIONS) else LOOSE


def _states(files: Iterable[tuple[str, str]]) -> dict[str, str]:
    members: dict[str, list[tuple[str, str]]] = {}
    for name, state in files:
        members.setdefault(_unit(name), []).append((name, state))
    return {unit: hashlib.sha256(json.dumps(states).encode()).hexdigest() for unit, states in members.items()}
