"""Which scans are complete, told by keys alone: one listing of a store answers for all of its scans.

A mark is a fact: "from these files, written then, the store holds all that was asked for". It is the key
``known/<scan id>/<source>-<state>-<answer>.json``. Nothing is lost with it: a scan without a mark is looked
at again, and keeps what it has.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from typing import Any

from agg2exp_core.store.keys import check_name, now
from agg2exp_core.store.root import Root

_FOLDER, _SUFFIX = "known", ".json"
_SECRET = "known.json"


@dataclass(frozen=True, slots=True)
class Mark:
    """That a scan is complete.

    Parameters
    ----------
    source, state : str
        Which files it was read from, and their state then (see `agg2exp_core.volumes.stamps.Stamp`), the
        source under the store's key (`secret_of`): paths may name patients.
    answer : str
        Identity of what was asked for: model, method, classes, regions.
    """

    source: str
    state: str
    answer: str


def secret_of(root: Root) -> bytes:
    """Return the key of this store's digests of paths, made when it is first asked for."""
    told = root.get_json(_SECRET) or root.claim_json(_SECRET, {"key": secrets.token_hex(32)})
    return bytes.fromhex(told["key"])


def all_marks(root: Root) -> dict[str, list[Mark]]:
    """Return the marks of all scans by scan id; not one object is opened."""
    found: dict[str, list[Mark]] = {}
    for key in root.keys(_FOLDER):
        scan_id, _, name = key.rpartition("/")
        found.setdefault(scan_id, []).extend(_parsed(name))
    return found


def marks_of(root: Root, scan_id: str) -> list[Mark]:
    """Return the marks of one scan."""
    return [mark for name in root.children(_folder(scan_id)) for mark in _parsed(name)]


def put_mark(root: Root, scan_id: str, mark: Mark, told: Mapping[str, Any]) -> None:
    """Say that a scan is complete; marks of earlier states of the same files go.

    Parameters
    ----------
    root : Root
        The store's root.
    scan_id : str
        The scan.
    mark : Mark
        Its files, and what was asked for.
    told : mapping
        For people, JSON-ready: the content hash of the scan, and the label of the results.
    """
    root.put_json(_key(scan_id, mark), {**told, "at": now()}, overwrite=False)
    for other in marks_of(root, scan_id):
        if other.source == mark.source and other.state != mark.state:
            root.delete(_key(scan_id, other))


def forget(root: Root, scan_id: str) -> None:
    """Remove the marks of a scan, since what it holds has changed."""
    for mark in marks_of(root, scan_id):
        root.delete(_key(scan_id, mark))


def _parsed(name: str) -> Iterator[Mark]:
    parts = name.removesuffix(_SUFFIX).split("-")
    if name.endswith(_SUFFIX) and len(parts) == 3:  # else a file that is being written
        yield Mark(*parts)


def _folder(scan_id: str) -> str:
    return f"{_FOLDER}/{check_name('scan', scan_id)}"


def _key(scan_id: str, mark: Mark) -> str:
    return f"{_folder(scan_id)}/{'-'.join(astuple(mark))}{_SUFFIX}"
