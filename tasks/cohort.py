"""Stage 4: from the rows of all scans to the matrices of the cohort."""

from __future__ import annotations

import xarray as xr
from prefect import task

from agg2exp_core.importance import global_importance, stack_scans
from agg2exp_core.store import Store
from tasks.resources import store_of
from tasks.retrying import RETRYING


def _rows(store: Store, label: str) -> dict[str, xr.Dataset]:
    found = {scan_id: store.scan(scan_id).importance(label) for scan_id in store.scans()}
    return {scan_id: rows[0] for scan_id, rows in found.items() if rows is not None}


@task(name="cohort", task_run_name="cohort {label}", **RETRYING)
def reduce_cohort(store: str, label: str) -> int:
    """Write ``importance.zarr`` of a label from the rows beside the scans; return their number."""
    opened = store_of(store)
    rows = _rows(opened, label)
    if rows:
        local = stack_scans(rows)
        opened.write_importance(label, local, global_importance(local))
    return len(rows)
