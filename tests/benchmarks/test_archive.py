"""The benchmark of growing archives counts what it should; it is not timed here."""

import pytest

from benchmarks.archive import QUICK, measure_cost, measure_reads, measure_requests

pytestmark = pytest.mark.long


def test_small_archives_are_measured(tmp_path):
    assert all(row.figure.values for row in measure_cost(tmp_path, QUICK, n_repeats=1))


def test_who_reads_meanwhile_sees_no_failed_and_no_mixed_cohort(tmp_path):
    failed, mixed, switched = measure_reads(tmp_path, QUICK)
    assert failed.met
    assert mixed.met
    assert switched.figure.values[0] > 0


def test_requests_are_counted(monkeypatch):
    for name in ("AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "")  # what the benchmark sets goes with the test
    none, _, first, further = measure_requests(QUICK)
    assert none.figure.values[0] < 15
    assert first.figure.values[0] < 80
    assert further.figure.values[0] == 1
