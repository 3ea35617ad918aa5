"""Where scans come from: a folder, an S3 prefix, a user's own (a PACS has a module of its own)."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Protocol, cast

from agg2exp_core.errors import Agg2ExpError, StoreError, UsageError
from agg2exp_core.intake.ledger import kind_and_place
from agg2exp_core.plugins import find_plugin
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


_MEMBERS: dict[str, tuple[str, ...]] = {"listing": (), "fetch": ("unit",), "whose": ("unit",)}
"""Members of a `Source`, and what each is called with."""


def open_source(source: str, n_days: int, until: date, body_part: str | None = None) -> Source:
    """Return the source of scans that a text names.

    Parameters
    ----------
    source : str
        A folder, ``s3://bucket/prefix``, the ``http`` address of a DICOMweb service, or a user's own:
        ``module:attribute`` of what is called without arguments and returns a `Source`.
    n_days : int
        Of a PACS: days of the studies, `until` the last of them.
    until : date
        Of a PACS: the last day.
    body_part : str, optional
        Of a PACS: only series of it.

    Raises
    ------
    UsageError
        If there is no such folder, the address is none or holds a password, the DICOMweb client is not
        installed, or a user's own is no source.
    """
    scheme, separator, rest = source.partition("://")
    if separator and (scheme not in ("s3", "http", "https") or not rest.strip("/")):
        raise UsageError(
            "SOURCE",
            got=f"{scheme}://" + ("…" if rest else ""),
            allowed="a folder, s3://bucket/prefix, or the http:// or https:// address of a DICOMweb service",
            remedy="give one of these",
        )
    if scheme == "s3" and separator:
        return S3Source(source)
    if not separator:
        is_own = ":" in source and not Path(source).exists()
        return _own_source(source) if is_own else FolderSource(Path(source))
    try:
        from agg2exp_core.intake.pacs import PacsSource, Query
    except ModuleNotFoundError as error:
        raise UsageError(
            source,
            got=f"a DICOMweb service, for which {error.name} is not installed",
            allowed="an installation with the extra dicom",
            remedy="pip install agg2exp[dicom]",
        ) from None
    return PacsSource(source, Query(until - timedelta(days=n_days - 1), until, body_part=body_part))


def _own_source(reference: str) -> Source:
    """Return a user's source, of which every member is there and can be called as it will be."""
    made = find_plugin("source", reference)
    if callable(made):
        if not _takes(made, ()):
            raise _no_source(reference, "cannot be called without arguments")
        try:
            made = made()
        except Exception as error:  # its text may name somebody
            raise _no_source(reference, f"fails when it is called ({kind_and_place(error)})") from error
    for name, arguments in _MEMBERS.items():
        member = getattr(made, name, None)
        call = f"{name}({', '.join(arguments)})"
        if not callable(member):
            raise _no_source(reference, f"gives a {type(made).__name__} without {call}")
        if not _takes(member, arguments):
            raise _no_source(reference, f"gives a {type(made).__name__} that cannot be asked for {call}")
    if inspect.isgeneratorfunction(made.fetch):
        raise _no_source(reference, "has a fetch that is a plain generator, without @contextmanager")
    return cast(Source, made)


def _takes(function: Any, arguments: tuple[str, ...]) -> bool:
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # a built-in without a signature
        return True
    return True


def _no_source(reference: str, got: str) -> UsageError:
    calls = [f"{name}({', '.join(arguments)})" for name, arguments in _MEMBERS.items()]
    return UsageError(
        "source",
        got=f"{reference!r}, which {got}",
        allowed=f"what is called without arguments and returns an object with {', '.join(calls)}",
        remedy="write it as docs/extending.md shows",
    )


def listed(source: Source) -> dict[str, str]:
    """Return the units of a source with their states.

    Raises
    ------
    StoreError
        If it does not answer.
    """
    try:
        return {str(unit): str(state) for unit, state in source.listing().items()}
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
