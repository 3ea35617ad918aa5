"""What was imported: one small file for each content and each unit of a source, none naming anybody."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agg2exp_core.errors import StoreError
from agg2exp_core.files import whole_file

LEDGER_FOLDER = ".ledger"

ACCEPTED, KNOWN, NOT_WANTED, QUARANTINED, FAILED = "accepted", "known", "not wanted", "quarantined", "failed"
NO_IMAGE = "no image"


@dataclass(frozen=True)
class ImportRecord:
    """How the import of one series or file ended.

    Parameters
    ----------
    content : str
        Keyed hash of its bytes.
    status : {"accepted", "known", "not wanted", "no image", "quarantined", "failed"}
        Imported now; imported or refused before; whole and not what is asked for; files that are neither
        DICOM images nor NIfTI; not usable; not done because of something that may pass, and so tried again
        the next time.
    scan_id : str
        Under which it was imported, else empty.
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

    @classmethod
    def failed(cls, error: Exception, content: str = "") -> ImportRecord:
        """Return the record of an error that nobody foresaw."""
        return cls(content, FAILED, reason=f"{kind_and_place(error)}; it is tried again the next time")

    @property
    def is_bad(self) -> bool:
        """Whether somebody should look at it."""
        return self.status in (QUARANTINED, FAILED)


class Ledger:
    """The records beside the scans of a folder.

    Parameters
    ----------
    folder : Path
        Where scans are imported to.
    """

    def __init__(self, folder: Path) -> None:
        self._contents = folder / LEDGER_FOLDER / "contents"
        self._units = folder / LEDGER_FOLDER / "arrivals"

    def record(self, content: str) -> ImportRecord | None:
        """Return what was recorded of a content, or None."""
        path = self._contents / f"{content}.json"
        return ImportRecord(**_read(path)) if path.exists() else None

    def records(self) -> Iterator[ImportRecord]:
        """Yield all records, by content."""
        for path in sorted(self._contents.glob("[!.]*.json")):
            yield ImportRecord(**_read(path))

    def keep(self, record: ImportRecord) -> None:
        """Write down how the import of a content ended."""
        write_json(self._contents / f"{record.content}.json", asdict(record))

    def knows_unit(self, token: str) -> bool:
        """Return whether everything of a unit has been recorded."""
        return (self._units / f"{token}.json").exists()

    def keep_unit(self, token: str, contents: list[str]) -> None:
        """Write down that all contents of a unit have been recorded."""
        write_json(self._units / f"{token}.json", {"contents": contents})


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except ValueError:
        raise StoreError(
            path,
            got="a damaged record",
            allowed="JSON",
            remedy="remove it: its series is then imported again",
        ) from None


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a file so that it is there complete or not at all.

    Raises
    ------
    UsageError
        If it cannot be written.
    """
    with whole_file(path, make_folder=True) as partial:
        partial.write_text(json.dumps(content, sort_keys=True))


def kind_and_place(error: BaseException) -> str:
    """Return the type of an error, and the file and line that raised it: its text may name somebody."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
