"""A night over an archive: what planning costs where nearly all scans are known."""

from __future__ import annotations

import os
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from unittest import mock

from agg2exp_core.pipeline import ExplainSettings, explain_cohort, plan_scans
from agg2exp_core.store import open_store
from agg2exp_core.store.marks import all_marks, secret_of
from agg2exp_core.volumes import stamp_of
from agg2exp_core.volumes.nifti_reader import look_at_nifti
from benchmarks.scale.sleeper import REFERENCE, write_cohort
from benchmarks.timing import Row, once

MOST_S = 60.0
MOST_GB = 2.0
_MOST_LINKS = 10_000
"""Names that one file gets: file systems allow some ten thousand."""


@dataclass(frozen=True)
class Planned:
    """What planning a night took.

    Parameters
    ----------
    n_known, n_new : int
        Scans that were kept, and that were planned.
    seconds, cpu_s, peak_gb : float
        Wall time of planning, its time on a core, and the most memory of its process.
    n_headers, n_read : int
        Scans whose header was looked at, and of which voxels were read.
    n_sent : int
        Known scans that are to be sent to a worker.
    """

    n_known: int
    n_new: int
    seconds: float
    cpu_s: float
    peak_gb: float
    n_headers: int
    n_read: int
    n_sent: int


def grow(folder: Path, n_known: int, n_new: int) -> ExplainSettings:
    """Explain one scan for real, repeat its marks under other names, add new scans; return the settings."""
    model, scans = write_cohort(folder, 1)
    settings = ExplainSettings(
        store=str(folder / "store"), model=str(model), method=REFERENCE, device="cpu", voxels=False
    )
    (real,) = explain_cohort(plan_scans([str(scans)], None, settings).jobs, settings).outcomes
    assert real.status == "done"
    root, first = open_store(settings.store).root, scans / f"{real.scan_id}.nii.gz"
    (mark,) = all_marks(root)[real.scan_id]
    (key,) = root.keys("known")
    store, content, secret = Path(root.uri), root.get(f"known/{key}") or b"", secret_of(root)
    original = first
    for n in range(1, n_known):
        if n % _MOST_LINKS == 0:
            original = scans / f"s{n:06}.nii.gz"
            original.write_bytes(first.read_bytes())
        else:
            os.link(original, scans / f"s{n:06}.nii.gz")
        stamp = stamp_of(scans / f"s{n:06}.nii.gz").keyed(secret)
        (store / "known" / f"s{n:06}").mkdir()
        name = f"{stamp.source}-{stamp.state}-{mark.answer}.json"
        (store / "known" / f"s{n:06}" / name).write_bytes(content)
        (store / "scans" / f"s{n:06}.zarr").mkdir()
    for n in range(n_new):
        (scans / f"new{n:06}.nii.gz").write_bytes(first.read_bytes())
    return settings


def plan(scans: str, settings: ExplainSettings) -> Planned:
    """Plan a night in this process."""
    with (
        mock.patch("agg2exp_core.volumes.nifti_reader._stream_values") as read,
        mock.patch("agg2exp_core.volumes.reading.look_at_nifti", wraps=look_at_nifti) as looked,
    ):
        started, cpu_s = time.monotonic(), time.process_time()
        checked = plan_scans([scans], None, settings)
        seconds, cpu_s = time.monotonic() - started, time.process_time() - cpu_s
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    known = {job.scan_id for job in checked.kept}
    n_sent = sum(job.scan_id in known or not job.scan_id.startswith("new") for job in checked.jobs)
    return Planned(
        len(known), len(checked.jobs), seconds, cpu_s, peak_gb, looked.call_count, read.call_count, n_sent
    )


def measure(folder: Path, n_known: int, n_new: int) -> Planned:
    """Measure planning, in a process of its own, over an archive in an empty folder."""
    settings = grow(folder, n_known, n_new)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
        return alone.submit(plan, str(folder / "scans"), settings).result()


def rows(found: Planned) -> list[Row]:
    """Return the rows of a table."""
    what = f"{found.n_new:,} new beside {found.n_known:,} known"
    return [
        once(f"{what}: planning, s", found.seconds, at_most=MOST_S),
        once("its time on a core, s", found.cpu_s),
        once("peak memory of its process, GB", found.peak_gb, at_most=MOST_GB),
        once("headers looked at", found.n_headers),
        once("scans of which voxels were read", found.n_read, at_most=0),
        once("runs sent for known scans", found.n_sent, at_most=0),
        once("load of the machine over the last minute", os.getloadavg()[0]),
    ]
