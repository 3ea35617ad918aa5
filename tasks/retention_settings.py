"""What a retention was asked to do, and how it fared: plain data."""

from __future__ import annotations

import math
from dataclasses import dataclass

from agg2exp_core.errors import UsageError


@dataclass(frozen=True)
class RetentionSettings:
    """Which attributions lose their voxels.

    Parameters
    ----------
    store : str
        Local path or ``s3://bucket/prefix`` of the results.
    keep_days : float
        Attributions finished longer ago lose their voxels.
    labels : list of str or None
        Of these results; of all by default.
    dry_run : bool
        Whether it is only said what would go.

    Raises
    ------
    UsageError
        If the days are no length of time.
    """

    store: str
    keep_days: float
    labels: list[str] | None = None
    dry_run: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.keep_days < math.inf:
            raise UsageError(
                "--keep-days", got=f"{self.keep_days}", allowed="0 or more days", remedy="give a number"
            )


@dataclass(frozen=True)
class ScanRetention:
    """How a scan fared.

    Parameters
    ----------
    scan_id : str
        The scan.
    status : {"dropped", "kept", "at work", "failed"}
        Whether voxels went (or would go), nothing was old enough, the scan is being explained and was left
        alone, or could not be treated.
    n_dropped, n_kept : int
        Attributions whose voxels went, and that have theirs.
    n_bytes : int
        That are free.
    reason : str
        Why it failed, else empty.
    """

    scan_id: str
    status: str
    n_dropped: int = 0
    n_kept: int = 0
    n_bytes: int = 0
    reason: str = ""


@dataclass(frozen=True)
class RetentionSummary:
    """How a retention fared.

    Parameters
    ----------
    settings : RetentionSettings
        What was asked.
    scans : list of ScanRetention
        One a scan.
    """

    settings: RetentionSettings
    scans: list[ScanRetention]

    @property
    def n_dropped(self) -> int:
        """Attributions whose voxels went, or would go."""
        return sum(scan.n_dropped for scan in self.scans)

    @property
    def n_bytes(self) -> int:
        """Bytes that are free, or would be."""
        return sum(scan.n_bytes for scan in self.scans)

    @property
    def said(self) -> str:
        """All of it in one line."""
        done = "would drop" if self.settings.dry_run else "dropped"
        at_work = sum(scan.status == "at work" for scan in self.scans)
        beside = f"; {at_work} scans at work were left alone" if at_work else ""
        return (
            f"{done} the voxels of {self.n_dropped} attributions of {len(self.scans)} scans, "
            f"{self.n_bytes / 1e6:.1f} MB{beside}"
        )
