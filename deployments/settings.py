"""What a service is asked for, beside what its batches, analyses and intake are."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from agg2exp_core.errors import UsageError
from agg2exp_core.settings import Flag, Place, Settings


class ServiceSettings(Settings):
    """Which scans a service explains, when, and what happens before and after."""

    scans: Annotated[list[str], Place()]
    """NIfTI files, or folders, as the workers see them."""
    cron: str | None = None
    """When new scans are explained, such as "0 2 * * *"."""
    timezone: str = "UTC"
    """Of the schedules, such as Europe/Warsaw."""
    ingest_from: Annotated[str | None, Place()] = None
    """Folder, s3:// or http DICOMweb that feeds the first SCANS."""
    ingest_cron: str | None = None
    """When that is looked at; explained at once where --cron is not given."""
    keep_days: Annotated[float | None, Field(ge=0), Flag("--keep-days", variable="AGG2EXP_KEEP_DAYS")] = None
    """Voxels finished longer ago are dropped."""
    retention_cron: Annotated[str, Flag("--retention-cron", variable="AGG2EXP_RETENTION_CRON")] = "0 4 * * 0"
    """When they are dropped; by default early on Sundays."""
    store_to: Annotated[str | None, Flag("--store-to", variable="AGG2EXP_STORE_TO")] = None
    """PACS (http DICOMweb) that takes the results of what --ingest-from fed."""
    return_folder: Annotated[str, Place(), Flag("--return-folder", variable="AGG2EXP_RETURN_FOLDER")] = ""
    """Folder, as the workers see it, that gets them too, as NIfTI in each scan's own space."""

    def model_post_init(self, context: Any, /) -> None:
        """Refuse what means nothing alone."""
        if self.return_folder and self.store_to is None:
            raise UsageError(
                "--return-folder",
                got="it without --store-to",
                allowed="both: files lie beside the objects that a PACS gets",
                remedy="name the PACS, or write files with agg2exp export",
            )
        if self.store_to is not None and self.ingest_from is None:
            raise UsageError(
                "--store-to",
                got="it without --ingest-from",
                allowed="both: results refer to the series that were taken in",
                remedy="say where scans come from",
            )
