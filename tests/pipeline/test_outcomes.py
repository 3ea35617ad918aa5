"""One scan that fails never stops the others, and what is known already is told once."""

import pytest
import torch

from agg2exp_core.errors import ScanError
from agg2exp_core.pipeline.outcomes import ScanJob, ScanOutcome, run_each, spoils_process
from agg2exp_core.store import open_store

JOBS = [ScanJob(name, f"/secret/{name}.nii.gz") for name in ("a", "b", "c")]


@pytest.mark.parametrize(
    "error",
    [
        ScanError("/secret/b.nii.gz", got="an odd scan", allowed="another", remedy="choose it"),
        ValueError("cannot read /secret/b.nii.gz"),
    ],
)
def test_the_others_go_on(tmp_path, error):
    store = open_store(tmp_path / "store", create=True)
    heard = []

    def run(scan):
        if scan.scan_id == "b":
            raise error
        return ScanOutcome(scan.scan_id, "done")

    for _ in range(2):
        outcomes = run_each(JOBS, store, "explain", run, heard.append)
        assert [outcome.status for outcome in outcomes] == ["done", "failed", "done"]
    assert [(alert.scan_id, alert.stage, alert.is_quarantined) for alert in heard] == [
        ("b", "explain", False)
    ]
    assert "/secret" not in heard[0].reason
    assert set(store.failures()) == {"b"}
    run_each(JOBS, store, "explain", lambda scan: ScanOutcome(scan.scan_id, "done"), heard.append)
    assert store.failures() == {}


def test_an_interruption_is_no_failure(tmp_path):
    store = open_store(tmp_path / "store", create=True)

    def run(scan):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_each(JOBS, store, "explain", run)
    assert store.failures() == {}


@pytest.mark.parametrize(
    ("error", "spoils"),
    [
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), True),
        (torch.OutOfMemoryError("CUDA out of memory"), False),
        (RuntimeError("sizes differ"), False),
        (ValueError("CUDA error is a text here"), False),
    ],
)
def test_an_error_that_spoils_the_process_leaves_the_other_scans(tmp_path, error, spoils):
    store = open_store(tmp_path / "store", create=True)

    def run(scan):
        if scan.scan_id == "b":
            raise error
        return ScanOutcome(scan.scan_id, "done")

    outcomes = run_each(JOBS, store, "explain", run)
    assert [outcome.status for outcome in outcomes] == ["done", "failed", "left" if spoils else "done"]
    assert set(store.failures()) == {"b"}


def test_a_spoilt_process_is_seen_through_the_error_that_names_the_scan():
    error = ScanError("s", got="an error", allowed="none", remedy="try again")
    error.__cause__ = torch.AcceleratorError("CUDA error: device-side assert triggered")
    assert spoils_process(error)
