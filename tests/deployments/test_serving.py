"""Workers are kept alive, and none of their processes outlives `agg2exp worker`."""

import os
import signal
import threading
import time

import psutil
import pytest

from agg2exp.deployments import workers

PLACES = workers.places("cpu:2", n_gpus=0, n_cores=2)


@pytest.fixture
def born(tmp_path, monkeypatch):
    """Stand-ins for workers, each with a run that no request ends; give their numbers, the latest last."""
    script = f"trap '' TERM; sleep 60 & echo $$ $! >> {tmp_path}/born; wait"
    monkeypatch.setattr(workers, "command", lambda place, pool: ["sh", "-c", script])
    for name in ("STOP_S", "RESTART_S", "_POLL_S"):
        monkeypatch.setattr(workers, name, 0.05)

    def read(n):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            lines = (tmp_path / "born").read_text().splitlines() if (tmp_path / "born").exists() else []
            if len(lines) >= n and all(len(line.split()) == 2 for line in lines):
                return [tuple(map(int, line.split())) for line in lines]
            time.sleep(0.02)
        raise TimeoutError(f"{n} workers did not start")

    return read


def served(meanwhile):
    """Serve until something was done, in a thread, and the process is asked to end."""

    def end():
        try:
            done.append(meanwhile())
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    done, said = [], []
    thread = threading.Thread(target=end)
    thread.start()
    workers.serve(PLACES, "gpu", said.append)
    thread.join()
    return done[0], said


def lives(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_no_worker_and_no_run_is_left(born):
    started, said = served(lambda: born(2))
    assert len(said) == 1
    assert [pid for pids in started for pid in pids if lives(pid)] == []


def test_a_killed_worker_is_replaced_once_its_run_has_ended(born):
    def meanwhile():
        worker, run = born(2)[0]
        os.kill(worker, signal.SIGKILL)
        time.sleep(0.5)
        before = len(born(2))
        os.kill(run, signal.SIGKILL)
        return before, len(born(3))

    counts, said = served(meanwhile)
    assert counts == (2, 3)
    assert "ended with code -9; starting another" in said[1]
