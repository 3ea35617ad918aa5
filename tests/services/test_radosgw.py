"""Stores on a real S3 server: conditional writes, a server that goes away, a wrong secret."""

import subprocess
import sys

import pytest

from agg2exp_core.errors import StoreError
from agg2exp_core.store.units import WriteQueue
from tests.store.conftest import store, values  # noqa: F401
from tests.store.test_claims import (  # noqa: F401
    test_a_unit_that_two_runs_write_alike_is_there_once,
    test_a_unit_that_two_runs_write_with_other_values_is_seen_by_nobody,
    test_of_many_writers_one_wins_a_key_and_all_know_it,
)

pytestmark = [pytest.mark.service, pytest.mark.timeout(900)]


def test_a_server_that_goes_away_under_a_writer(store, values, gateway):  # noqa: F811
    """What it had written is seen by nobody, and is written over once the server is back."""
    scan = store.scan("s")
    with WriteQueue() as queue:
        writer = scan.unit_writer("label", "heart", values.shape, "same", queue)
        gateway.kill_gateway()
        writer.append(values)
        try:
            with pytest.raises(StoreError, match="AWS_ENDPOINT_URL"):
                writer.finish({})
        finally:
            gateway.start_gateway()
        assert scan.units("label") == {}
    scan.write_unit("label", "heart", values, identity="same", info={})
    assert scan.verify("label", "heart")


def test_a_wrong_secret_is_refused(uri, monkeypatch):
    """In a process of its own: this one has its connections open."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    words = f"from agg2exp_core.store import open_store; open_store({uri!r}, create=True)"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, timeout=600)
    assert done.returncode == 1
    assert "StoreError" in done.stderr
    assert "PermissionError" in done.stderr
