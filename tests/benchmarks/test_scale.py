"""The benchmark of scale counts what it should; it is not timed here."""

import pytest

from benchmarks.scale import archive
from benchmarks.scale.__main__ import QUICK, measure_backfill, measure_weak
from benchmarks.scale.backfill import rows
from benchmarks.scale.pages import requests
from tests.services.postgres import programs

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(400),
    pytest.mark.skipif(programs() is None, reason="PostgreSQL is not installed (tests/services/install)"),
]


def test_weak_scaling(tmp_path):
    points = measure_weak(tmp_path, QUICK)
    assert [(point.n_workers, point.n_runs, point.n_scans) for point in points] == [(1, 1, 1), (2, 2, 2)]
    assert all(0 < point.share < 1 for point in points)


def test_backfill(tmp_path):
    done = measure_backfill(tmp_path, QUICK)
    assert done.n_units == 40
    assert done.n_rows["flow_run"] == 2 + 4 + 40  # batches, parts, scans
    assert done.n_rows["task_run"] >= 3 * 40
    assert done.visitor.n_errors == 0
    assert set(done.visitor.seconds) == set(requests())
    assert any("Prefect and the fan-out add" in row.what for row in rows(done))


def test_archive(tmp_path):
    found = archive.measure(tmp_path, QUICK.n_known, QUICK.n_new)
    assert (found.n_known, found.n_new, found.n_headers) == (QUICK.n_known, QUICK.n_new, QUICK.n_new)
    assert (found.n_read, found.n_sent) == (0, 0)
