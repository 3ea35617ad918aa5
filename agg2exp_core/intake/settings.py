"""What an import was asked to do, and what carries it out: the importer, the source."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from agg2exp_core.dicom import IdentityKey, Rules
from agg2exp_core.errors import UsageError
from agg2exp_core.intake.importer import Importer
from agg2exp_core.intake.ledger import ImportRecord
from agg2exp_core.intake.sources import Source, open_source
from agg2exp_core.settings import Flag, Place, Settings


class IngestSettings(Settings):
    """What is imported, and how."""

    source: Annotated[str, Place()]
    """Folder, s3://bucket/prefix, or http address of a DICOMweb service."""
    into: Annotated[str, Place()]
    """Folder for <scan id>/ct.nii.gz, ready to be explained."""
    keep: list[Literal["age", "sex"]] = []
    """Keep age or sex of a patient (again for both); all else goes."""
    settle_s: Annotated[float, Field(ge=0), Flag("--settle")] = 30.0
    """Seconds for which an arrival must stay as it is."""
    min_slices: Annotated[int, Field(ge=2)] = Rules.min_slices
    """Slices of a series, at least."""
    max_slice_spacing_mm: Annotated[
        float, Field(ge=Rules.slice_spacing_mm[0]), Flag("--max-slice-spacing")
    ] = Rules.slice_spacing_mm[1]
    """Distance of the slices of a series, at most, in mm."""
    n_days: Annotated[int, Field(ge=1), Flag("--days")] = 2
    """PACS: days of the studies."""
    until: str | None = None
    """PACS: the last day, such as 2026-01-31; today by default."""
    body_part: str | None = None
    """PACS: only series of it, such as CHEST."""
    explain_with: str | None = None
    """Deployment that then explains the folder, such as explain-batch/nightly."""

    def model_post_init(self, context: Any, /) -> None:
        """Refuse a day that is none, and a folder that would be imported again."""
        self.last_day()
        if "://" not in self.source and Path(self.into).resolve().is_relative_to(Path(self.source).resolve()):
            raise UsageError(
                "--into",
                got="a folder within the source",
                allowed="a folder elsewhere: scans in it would be imported again",
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
        """Which series are wanted."""
        closest, _ = Rules.slice_spacing_mm
        return Rules(min_slices=self.min_slices, slice_spacing_mm=(closest, self.max_slice_spacing_mm))


@dataclass(frozen=True)
class IngestSummary:
    """How an import ended.

    Parameters
    ----------
    into : str
        Folder of the scans.
    records : list of ImportRecord
        One a series and file.
    """

    into: str
    records: list[ImportRecord]

    def count(self, *statuses: str) -> int:
        """Return the number of records of some statuses."""
        return sum(record.status in statuses for record in self.records)


def importer_of(settings: IngestSettings, key: IdentityKey) -> Importer:
    """Return what imports scans, under ids by the hospital's key.

    Raises
    ------
    UsageError
        If the folder cannot be written.
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
    return Importer(into, key, settings.rules, tuple(settings.keep))


def source_of(settings: IngestSettings) -> Source:
    """Return where scans come from."""
    return open_source(settings.source, settings.n_days, settings.last_day(), settings.body_part)
