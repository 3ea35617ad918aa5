"""What has come in: one small file for each content and each arrival, none of which names anybody."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agg2exp_core.errors import StoreError

FOLDER = ".ledger"

ACCEPTED, KNOWN, NOT_WANTED, QUARANTINED, FAILED = "accepted", "known", "not wanted", "quarantined", "failed"
NO_IMAGE = "no image"


@dataclass(frozen=True)
class Entry:
    """How one series or file fared.

    Parameters
    ----------
    content : str
        Keyed hash of its bytes.
    status : {"accepted", "known", "not wanted", "no image", "quarantined", "failed"}
        Taken in now; taken in or refused before; whole and not what is asked for; files that are neither
        DICOM images nor NIfTI; not usable; not done because of something that may pass, and so tried again
        the next time.
    scan_id : str
        Under which it was taken in, else empty.
    reason : str
        Why it was not, else empty.
    rules : str
        Of what is not wanted: the rules that say so, else empty.
    """

    content: str
    status: str
    scan_id: str = ""
    reason: str = ""
    rules: str = ""

    @property
    def is_bad(self) -> bool:
        """Whether somebody should look at it."""
        return self.status in (QUARANTINED, FAILED)


class Ledger:
    """The records beside the scans of a folder.

    Parameters
    ----------
    folder : Path
        Where scans are taken in.
    """

    def __init__(self, folder: Path) -> None:
        self._contents = folder / FOLDER / "contents"
        self._arrivals = folder / FOLDER / "arrivals"

    def entry(self, content: str) -> Entry | None:
        """Return what was recorded of a content, or None."""
        path = self._contents / f"{content}.json"
        return Entry(**_read(path)) if path.exists() else None

    def entries(self) -> Iterator[Entry]:
        """Yield all records, by content."""
        for path in sorted(self._contents.glob("*.json")):
            yield Entry(**_read(path))

    def record(self, entry: Entry) -> None:
        """Keep how a content fared."""
        write_json(self._contents / f"{entry.content}.json", asdict(entry))

    def knows_arrival(self, token: str) -> bool:
        """Return whether everything of an arrival has been recorded."""
        return (self._arrivals / f"{token}.json").exists()

    def record_arrival(self, token: str, contents: list[str]) -> None:
        """Keep that all contents of an arrival have been recorded."""
        write_json(self._arrivals / f"{token}.json", {"contents": contents})


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except ValueError:
        raise StoreError(
            path,
            got="a damaged record",
            allowed="JSON",
            remedy="remove it: its series is then taken in again",
        ) from None


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a file so that it is there complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{uuid.uuid4().hex}")
    partial.write_text(json.dumps(content, sort_keys=True))
    partial.replace(path)
