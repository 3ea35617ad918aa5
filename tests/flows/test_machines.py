"""A state folder that several machines see, and what a killed process has left in its history."""

import fcntl
import json
import time
from contextlib import ExitStack

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.settings import PREFECT_API_URL
from prefect.states import Completed, Running

from agg2exp.flows.server import embedded
from agg2exp.flows.server.dead_runs import end_dead_runs
from agg2exp.flows.server.machine import name_of, server_elsewhere, this_machine

OTHER = "node-a 0000 net:[1]"


def held(path, content):
    """A file with its lock, as another process holds it."""
    path.write_text(content)
    file = path.open()
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


@pytest.mark.parametrize(
    ("file", "content"), [("server.json", json.dumps({"port": 1, "machine": OTHER})), ("start.lock", OTHER)]
)
def test_a_server_of_another_machine_is_neither_joined_nor_waited_for(tmp_path, file, content):
    with held(tmp_path / file, content):
        started = time.monotonic()
        with pytest.raises(embedded._ElsewhereError, match=r"^node-a$"):
            embedded._reach(tmp_path)
        assert time.monotonic() - started < embedded.START_S / 10


def test_a_machine_then_has_a_server_of_its_own(tmp_path, monkeypatch, caplog):
    asked = []

    def join(stack: ExitStack, state):
        asked.append(state)
        if len(asked) == 1:
            raise embedded._ElsewhereError("node-a")
        return 4201

    monkeypatch.setattr(embedded, "_join_or_start", join)
    with embedded._joined(tmp_path) as (state, port):
        assert (state, port) == (tmp_path / "machines" / name_of(this_machine()), 4201)
    assert "in use by the machine node-a" in caplog.text
    assert str(state) in caplog.text


def test_a_server_of_this_machine_is_not_elsewhere(tmp_path):
    assert server_elsewhere(tmp_path) is None
    with held(tmp_path / "server.json", json.dumps({"port": 1, "machine": this_machine()})):
        assert server_elsewhere(tmp_path) is None
    (tmp_path / "server.json").write_text(
        json.dumps({"port": 1, "machine": OTHER})
    )  # of a server that is gone
    assert server_elsewhere(tmp_path) is None


@flow
def explaining():
    pass


def test_runs_of_dead_processes_are_crashed_and_finished_ones_are_not(prefect_server):
    with get_client(sync_client=True) as client:
        dead = client.create_flow_run(explaining, state=Running())
        done = client.create_flow_run(explaining, state=Completed())
        assert end_dead_runs(PREFECT_API_URL.value()) >= 1
        crashed = client.read_flow_run(dead.id)
        assert crashed.state.type == StateType.CRASHED
        assert "ended from outside" in crashed.state.message
        assert client.read_flow_run(done.id).state.type == StateType.COMPLETED
        assert end_dead_runs(PREFECT_API_URL.value()) == 0
