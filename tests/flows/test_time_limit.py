"""A stage that hangs is told of in time, and the run that holds it ends and reports."""

import json
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from agg2exp.flows import late
from agg2exp.tasks.time_limit import ending, within
from agg2exp_core.errors import ModelError
from agg2exp_core.pipeline import limits
from agg2exp_core.pipeline.limits import BASE_S, TIMES, UNPLANNED_S, attribution_limit_s
from agg2exp_core.pipeline.outcomes import ScanJob
from agg2exp_core.pipeline.settings import ExplainSettings

JOBS = [ScanJob(name, f"/{name}.nii.gz") for name in ("a", "b", "c")]


def test_a_stage_that_takes_too_long_is_told_of():
    told, heard = [], threading.Event()

    def late(scan_id, reason):
        told.append((scan_id, reason))
        heard.set()

    with ending(late), within(lambda: 0.01, "a", "attribution"):
        assert heard.wait(30)
    assert told == [("a", "attribution took longer than its limit of 0 s, and was ended")]


def test_a_stage_in_time_is_not_told_of_and_without_a_listener_no_limit_is_asked_for():
    def refuse(*arguments):
        raise AssertionError

    with ending(refuse), within(lambda: 3600.0, "a", "attribution"):
        pass
    assert not any(
        isinstance(thread, threading.Timer) and not thread.finished for thread in threading.enumerate()
    )
    with within(refuse, "a", "attribution"):
        pass


@pytest.mark.parametrize(
    ("seconds", "limit_s"), [(100.0, BASE_S + TIMES * 100), (None, UNPLANNED_S), (ModelError, BASE_S)]
)
def test_the_limit_follows_from_the_plan(tmp_path, monkeypatch, seconds, limit_s):
    def estimate(model, method, shape, n_classes, execution, cost):
        assert (shape, n_classes) == ((5, 6, 7), 3)
        if seconds is ModelError:
            raise ModelError("scan", got="too much", allowed="less", remedy="take less")
        return SimpleNamespace(seconds=seconds)

    scan = SimpleNamespace(grid_shape=lambda: (5, 6, 7))
    monkeypatch.setattr(limits, "store_of", lambda uri: SimpleNamespace(scan=lambda scan_id: scan))
    monkeypatch.setattr(limits, "model_of", lambda settings: None)
    monkeypatch.setattr(limits, "_cost", lambda *reference: None)
    monkeypatch.setattr(limits, "estimate", estimate)
    settings = ExplainSettings(store=str(tmp_path), model="any", method="vanilla_gradient")
    assert attribution_limit_s(settings, "a", 3) == limit_s


def test_the_run_reports_and_its_process_ends(monkeypatch):
    states, ended = [], []

    @contextmanager
    def client(sync_client):
        yield SimpleNamespace(set_flow_run_state=lambda run, state, force: states.append((run, state, force)))

    monkeypatch.setattr(late, "flow_run", SimpleNamespace(id="run"))
    monkeypatch.setattr(late, "get_client", client)
    monkeypatch.setattr(late.os, "_exit", ended.append)
    late.ending_run(JOBS)("b", "too long")
    ((run, state, force),) = states
    assert (run, force, ended) == ("run", True, [0])
    told = {
        outcome["scan_id"]: (outcome["status"], outcome["reason"]) for outcome in json.loads(state.message)
    }
    assert told == {"a": ("left", ""), "b": ("failed", "too long"), "c": ("left", "")}
