"""What an intake was asked to do, and what it needs for that: plain data, the key, the source."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from agg2exp_core.dicom import KEPT, IdentityKey, Rules
from agg2exp_core.dicom.identity import KEY_VARIABLE
from agg2exp_core.errors import UsageError
from agg2exp_core.intake import Entry, Intake, Source, open_source

SECRET_BLOCK = "agg2exp-identity-key"
"""Name of the Secret block that holds the key where the environment does not."""


@dataclass(frozen=True)
class IngestSettings:
    """What is taken in, and how.

    Parameters
    ----------
    source : str
        A folder, ``s3://bucket/prefix``, or the ``http`` address of a DICOMweb service.
    into : str
        Folder of the scans, ready for `explain`.
    keep : list of {"age", "sex"}
        What is kept of a patient.
    settle_s : float
        How long an arrival must stay as it is.
    min_slices : int
        Series with fewer are not wanted.
    max_slice_spacing_mm : float
        Series whose slices are further apart are not wanted.
    n_days : int
        Of a PACS: days of the studies, `until` the last of them.
    until : str or None
        Of a PACS: the last day, such as ``2026-01-31``; today by default.
    body_part : str or None
        Of a PACS: only series of it, such as ``CHEST``.
    explain_with : str or None
        Deployment that explains the folder when something new is in it, such as ``explain-batch/nightly``.

    Raises
    ------
    UsageError
        If a setting has no meaning.
    """

    source: str
    into: str
    keep: list[str] = field(default_factory=list)
    settle_s: float = 30.0
    min_slices: int = Rules.min_slices
    max_slice_spacing_mm: float = Rules.slice_spacing_mm[1]
    n_days: int = 2
    until: str | None = None
    body_part: str | None = None
    explain_with: str | None = None

    def __post_init__(self) -> None:
        for name in self.keep:
            if name not in KEPT:
                raise UsageError(
                    "--keep", got=f"{name!r}", allowed=" or ".join(KEPT), remedy="leave it out: all else goes"
                )
        for option, value, least in (
            ("--settle", self.settle_s, 0),
            ("--min-slices", self.min_slices, 2),
            ("--max-slice-spacing", self.max_slice_spacing_mm, Rules.slice_spacing_mm[0]),
            ("--days", self.n_days, 1),
        ):
            if not value >= least:
                raise UsageError(option, got=f"{value}", allowed=f"at least {least:g}", remedy="raise it")
        self.last_day()
        if "://" not in self.source and Path(self.into).resolve().is_relative_to(Path(self.source).resolve()):
            raise UsageError(
                "--into",
                got="a folder within the source",
                allowed="a folder elsewhere: what is taken in would come in again",
                remedy="put it beside the source",
            )

    def last_day(self) -> date:
        """Return the last day of the studies that are asked of a PACS.

        Raises
        ------
        UsageError
            If `until` is no date.
        """
        try:
            return date.fromisoformat(self.until) if self.until else datetime.now().astimezone().date()
        except ValueError:
            raise UsageError(
                "--until", got=f"{self.until!r}", allowed="a date", remedy="write it as 2026-01-31"
            ) from None

    @property
    def rules(self) -> Rules:
        """Which series are taken."""
        closest, _ = Rules.slice_spacing_mm
        return Rules(min_slices=self.min_slices, slice_spacing_mm=(closest, self.max_slice_spacing_mm))


@dataclass(frozen=True)
class IngestSummary:
    """How a run of the intake fared.

    Parameters
    ----------
    into : str
        Folder of the scans.
    entries : list of Entry
        How each series and file fared.
    """

    into: str
    entries: list[Entry]

    def count(self, *statuses: str) -> int:
        """Return the number of entries of some statuses."""
        return sum(entry.status in statuses for entry in self.entries)


def identity_key() -> IdentityKey:
    """Return the hospital's key: from the environment, else from a Secret block of the Prefect server.

    Raises
    ------
    UsageError
        If neither holds one.
    """
    secret = os.environ.get(KEY_VARIABLE, "")
    if not secret and os.environ.get("PREFECT_API_URL"):
        secret = _secret_block()
    return IdentityKey(secret)


def intake_of(settings: IngestSettings) -> Intake:
    """Return what takes arrivals in.

    Raises
    ------
    UsageError
        If there is no key, or the folder cannot be written.
    """
    into = Path(settings.into)
    try:
        into.mkdir(parents=True, exist_ok=True)
        writable = os.access(into, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        raise UsageError(
            "--into",
            got=f"{into}, which cannot be written",
            allowed="a folder for the scans",
            remedy="check the path and its permissions",
        )
    return Intake(into, identity_key(), settings.rules, tuple(settings.keep))


def source_of(settings: IngestSettings) -> Source:
    """Return where they come from."""
    return open_source(settings.source, settings.n_days, settings.last_day(), settings.body_part)


def _secret_block() -> str:
    from prefect.blocks.system import Secret

    try:
        return str(Secret.load(SECRET_BLOCK).get())
    except ValueError:  # there is no such block
        return ""
