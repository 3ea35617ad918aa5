"""Real servers and real clients: who starts, who shares, and that nothing is left behind."""

import contextlib
import http.server
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from agg2exp.flows.server import PrefectServer, embedded_server, state_folder, wait_until_recorded
from agg2exp.flows.server.embedded import START_S
from agg2exp.flows.server.environment import environment
from agg2exp.flows.server.locks import is_locked_alone
from agg2exp_core.errors import Agg2ExpError, UsageError

SERVE = """
import sys
from agg2exp.flows.server import serve_until_interrupted
serve_until_interrupted(sys.argv[1], lambda server: print(server.api_url, flush=True))
"""
CLIENT = """
import sys
from agg2exp.flows.server import embedded_server
with embedded_server(sys.argv[1]) as server:
    print(server.api_url, flush=True)
    {body}
"""
UNTIL_STDIN_CLOSES = "sys.stdin.read()"


@contextlib.contextmanager
def client(state: Path, body: str = UNTIL_STDIN_CLOSES, script: str = CLIENT) -> Iterator[subprocess.Popen]:
    """A process that has joined the server of `state`, and its answer to where that is in `.url`."""
    process = subprocess.Popen(
        [sys.executable, "-c", script.format(body=body), str(state)],
        env={name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        process.url = process.stdout.readline().strip()
        yield process
        process.stdin.close()


def server_processes(state: Path) -> list[psutil.Process]:
    """Every process, zombies excepted, that was started on `state`, clients excepted."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        command = process.info["cmdline"] or []
        if str(state) in command and "-c" not in command and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def answers(api_url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{api_url}/health", timeout=5) as reply:
            return reply.read() == b"true"
    except OSError:
        return False


def seconds_until(condition: Callable[[], bool], limit_s: float) -> float:
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < limit_s, f"not within {limit_s} s"
        time.sleep(0.05)
    return time.monotonic() - begin


@pytest.fixture(scope="module")
def used_state(tmp_path_factory):
    """A state folder after its first use; also shows that a first start ends cleanly."""
    state = tmp_path_factory.mktemp("first") / "state"
    begin = time.monotonic()
    with client(state) as first:
        assert first.url, first.stderr.read()
        assert time.monotonic() - begin < 60
        (server,) = server_processes(state)
        assert "torch" not in Path(f"/proc/{server.pid}/maps").read_text()
    assert first.returncode == 0
    assert server_processes(state) == []
    assert state.stat().st_mode & 0o077 == 0
    return state


@pytest.fixture
def state(used_state, tmp_path):
    """A copy of it: a database made before saves the seconds of making one."""
    return Path(shutil.copytree(used_state, tmp_path / "state"))


@pytest.mark.slow
def test_two_clients_share_one_server_and_the_last_one_ends_it(state):
    with client(state) as second:
        with client(state) as first:
            assert first.url == second.url
            assert len(server_processes(state)) == 1
        assert first.returncode == 0
        time.sleep(1)
        assert answers(second.url)
    assert second.returncode == 0
    assert server_processes(state) == []


@pytest.mark.slow
def test_clients_that_start_together_share_one_server(state):
    with contextlib.ExitStack() as stack:
        clients = [None, None, None]

        def join(i):
            clients[i] = stack.enter_context(client(state))

        threads = [threading.Thread(target=join, args=(i,)) for i in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({c.url for c in clients}) == 1
        assert len(server_processes(state)) == 1
    assert server_processes(state) == []


@pytest.mark.slow
def test_an_exception_ends_the_server(state):
    with client(state, body="raise RuntimeError('of the flow')") as failing:
        errors = failing.stderr.read()
    assert failing.returncode == 1
    assert "of the flow" in errors
    assert server_processes(state) == []


@pytest.mark.slow
def test_interrupting_the_client_ends_the_server(state):
    with client(state) as interrupted:
        interrupted.send_signal(signal.SIGINT)
        interrupted.wait(15)
        assert interrupted.returncode != 0
        assert server_processes(state) == []


@pytest.mark.slow
def test_serving_ends_at_an_interrupt_and_says_when_the_server_ended_by_itself(state):
    with client(state, script=SERVE) as serving:
        assert answers(serving.url)
        serving.send_signal(signal.SIGINT)
        assert serving.wait(15) == 0
        assert server_processes(state) == []
    with client(state, script=SERVE) as serving:
        (server,) = server_processes(state)
        server.kill()
        assert serving.wait(15) == 1
        assert "ended by itself" in serving.stderr.read()


@pytest.mark.slow
def test_a_killed_client_leaves_nothing(state):
    with client(state) as killed:
        killed.kill()
        killed.wait()
        seconds_until(lambda: not server_processes(state), 8)
        assert not answers(killed.url)


@pytest.mark.slow
def test_killing_the_client_while_the_server_starts_leaves_nothing(tmp_path):
    state = tmp_path / "state"
    command = [sys.executable, "-c", CLIENT.format(body="pass"), str(state)]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    starting = subprocess.Popen(command, env=environ)
    seconds_until(lambda: bool(server_processes(state)), 10)
    starting.kill()
    starting.wait()
    seconds_until(lambda: not server_processes(state), 10)


@pytest.mark.slow
def test_a_dead_server_and_a_foreign_one_on_its_port_are_seen_through(state):
    with client(state) as first:
        (server,) = server_processes(state)
        server.kill()
        seconds_until(lambda: not is_locked_alone(state / "server.json"), 5)
        port = json.loads((state / "server.json").read_text())["port"]
        with http.server.HTTPServer(("127.0.0.1", port), _AlwaysHealthy) as foreign:
            threading.Thread(target=foreign.serve_forever, daemon=True).start()
            with client(state) as second:
                assert second.url.startswith("http://127.0.0.1:")
                assert second.url != first.url
            foreign.shutdown()
    assert server_processes(state) == []


class _AlwaysHealthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"true")

    def log_message(self, *_):
        pass


@pytest.mark.parametrize("content", ["", "{", "[]", '{"port": 99999999}'])
def test_a_spoilt_record_of_the_server_before_does_no_harm(content, tmp_path):
    from agg2exp.flows.server.process import _free_port, _last_port

    record = tmp_path / "server.json"
    record.write_text(content)
    assert 1024 <= _free_port(preferred=_last_port(record)) <= 65535


@pytest.fixture
def no_server(monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)


@pytest.mark.usefixtures("no_server")
def test_a_state_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(UsageError, match="Not a directory") as error,
        embedded_server(tmp_path / "file" / "s"),
    ):
        pass
    assert error.value.where == str(tmp_path / "file" / "s")
    assert "AGG2EXP_HOME" in error.value.remedy


@pytest.mark.usefixtures("no_server")
@pytest.mark.skipif(os.geteuid() != 0, reason="root only: becomes somebody else")
def test_a_state_folder_of_somebody_else_is_named(tmp_path):
    for folder in (tmp_path, *tmp_path.parents):
        folder.chmod(folder.stat().st_mode | 0o011)
    (tmp_path / "state").mkdir(mode=0o755)
    os.seteuid(65534)
    try:
        with (
            pytest.raises(UsageError, match="Permission denied"),
            embedded_server(tmp_path / "state"),
        ):
            pass
    finally:
        os.seteuid(0)


@pytest.mark.usefixtures("no_server")
def test_a_server_that_cannot_start_gives_the_end_of_its_log(tmp_path):
    (tmp_path / "prefect").mkdir()
    (tmp_path / "prefect" / "prefect.db").write_bytes(b"this is no database" * 100)
    begin = time.monotonic()
    with pytest.raises(Agg2ExpError, match="file is not a database") as error, embedded_server(tmp_path):
        pass
    assert time.monotonic() - begin < START_S
    assert error.value.where == str(tmp_path / "server.log")
    assert "\n" not in str(error.value)
    assert server_processes(tmp_path) == []


@pytest.mark.slow
def test_the_history_outlives_the_server(state):
    """200 task runs and a subflow's; then a second server on the folder, at the address of the first."""
    body = """
    from prefect import flow, task
    from prefect.client.orchestration import get_client
    from prefect.context import get_run_context
    from prefect.task_runners import ThreadPoolTaskRunner
    from agg2exp.flows.server import wait_until_recorded

    @task
    def trivial(i):
        return i

    @flow
    def inner():
        return trivial(0)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=4))
    def outer(n):
        for future in [trivial.submit(i) for i in range(n)]:
            future.result()
        inner()
        return str(get_run_context().flow_run.id)

    run_id = outer(200)
    print(wait_until_recorded(run_id), flush=True)
with embedded_server(sys.argv[1]) as again, get_client(sync_client=True) as api:
    print(again == server)
    done = {"state": {"name": {"any_": ["Completed"]}}, "subflow_runs": {"exists_": False}}
    print(api.request("POST", "/task_runs/count", json={"task_runs": done}).json())
    print(wait_until_recorded(outer(3)))
"""
    with client(state, body=body) as recording:
        output, errors = recording.communicate(timeout=90)
    assert recording.returncode == 0, errors
    assert output.split() == ["201", "True", "201", "4"], errors
    assert server_processes(state) == []


def test_a_server_that_is_given_is_used_as_it_is(prefect_server, tmp_path):
    with embedded_server(tmp_path / "unused") as server:
        assert server == prefect_server
    assert not (tmp_path / "unused").exists()
    assert answers(prefect_server.api_url)


def test_a_given_server_that_does_not_answer_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    with (
        pytest.raises(UsageError, match=r"PREFECT_API_URL: http://127\.0\.0\.1:9/api"),
        embedded_server(tmp_path),
    ):
        pass


def test_an_imported_prefect_follows_the_environment_and_back(prefect_server: PrefectServer):
    from prefect.settings import PREFECT_API_URL

    with environment({"PREFECT_API_URL": "http://127.0.0.1:9/api", "PREFECT_API_KEY": None}):
        assert PREFECT_API_URL.value() == "http://127.0.0.1:9/api"
    assert PREFECT_API_URL.value() == os.environ["PREFECT_API_URL"] == prefect_server.api_url


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.slow
def test_each_of_two_nested_servers_records_its_own_runs(state):
    from prefect import flow, task
    from prefect.context import get_run_context

    @task
    def trivial():
        return 1

    @flow
    def recorded():
        trivial()
        return str(get_run_context().flow_run.id)

    assert wait_until_recorded(recorded()) == 1
    with environment({"PREFECT_API_URL": None}), embedded_server(state):
        assert wait_until_recorded(recorded()) == 1
    assert wait_until_recorded(recorded()) == 1


@pytest.mark.usefixtures("prefect_server")
def test_waiting_for_the_record_ends_with_a_warning(caplog):
    from prefect import flow, task
    from prefect.context import get_run_context

    @task
    def slow():
        time.sleep(2)

    @flow
    def impatient():
        future = slow.submit()
        n_recorded = wait_until_recorded(get_run_context().flow_run.id, timeout_s=0.5)
        future.result()
        return n_recorded

    logger = logging.getLogger("agg2exp.flows.server.recording")
    logger.addHandler(caplog.handler)  # Prefect takes the one of the root logger away
    assert impatient() == 0
    logger.removeHandler(caplog.handler)
    assert "0 of" in caplog.text
    assert "in a final state" in caplog.text


@pytest.mark.usefixtures("prefect_server")
def test_schedules_create_runs():
    from prefect import flow
    from prefect.client.orchestration import get_client

    @flow
    def nightly():
        """Never run here."""

    deployment_id = nightly.to_deployment("nightly", cron="0 2 * * *").apply()
    chosen = {"deployments": {"id": {"any_": [str(deployment_id)]}}}
    with get_client(sync_client=True) as api:
        seconds_until(lambda: api.request("POST", "/flow_runs/count", json=chosen).json() > 0, 20)
        api.delete_deployment(deployment_id)


def test_the_state_folder_is_the_option_then_the_variable_then_the_home(monkeypatch, tmp_path):
    monkeypatch.setenv("AGG2EXP_HOME", str(tmp_path / "variable"))
    assert state_folder(tmp_path / "option") == tmp_path / "option"
    assert state_folder() == tmp_path / "variable"
    monkeypatch.delenv("AGG2EXP_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_folder() == tmp_path / ".agg2exp"
