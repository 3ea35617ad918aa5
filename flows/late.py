"""The end of a run one of whose scans hangs: it is recorded, and the others are sent again."""

from __future__ import annotations

import os
from collections.abc import Sequence

from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from agg2exp.flows.fan_out import reported
from agg2exp.tasks.time_limit import Late
from agg2exp_core.pipeline.outcomes import ScanJob, ScanOutcome


def ending_run(scans: Sequence[ScanJob]) -> Late:
    """Return what ends this run and its process when one of its scans hangs.

    The run reports that scan as failed, which the batch records, and all others as left: those that were
    done by then are found complete when they are sent again.
    """
    run_id = flow_run.id

    def end(scan_id: str, reason: str) -> None:
        told = [
            ScanOutcome(job.scan_id, "failed", reason)
            if job.scan_id == scan_id
            else ScanOutcome(job.scan_id, "left")
            for job in scans
        ]
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run_id, reported(told), force=True)
        os._exit(0)  # the thread that hangs cannot be ended; zero, since the run has told how it ended

    return end
