"""One scan that fails never stops the others, and what is known already is told once."""

import pytest

from agg2exp_core.errors import ScanError
from agg2exp_core.pipeline.outcomes import ScanJob, ScanOutcome, run_each
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
