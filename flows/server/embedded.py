"""Join the Prefect server of a state folder, or start it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from agg2exp.flows.server.dead_runs import end_dead_runs
from agg2exp.flows.server.environment import client_variables, environment
from agg2exp.flows.server.locks import ALONE, SHARED, is_locked_alone, locked, try_lock
from agg2exp.flows.server.machine import name_of, server_elsewhere, this_machine
from agg2exp_core.errors import Agg2ExpError, UsageError

HOME_VARIABLE = "AGG2EXP_HOME"
START_S = 180.0
STOP_S = 10.0

_log = logging.getLogger(__name__)
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class PrefectServer:
    """Where a Prefect server is reached.

    Parameters
    ----------
    api_url : str
        For clients, ending in ``/api``.
    ui_url : str
        For people.
    """

    api_url: str
    ui_url: str


def state_folder(option: Path | str | None = None) -> Path:
    """Return the state folder: the option, else the variable AGG2EXP_HOME, else ``~/.agg2exp``."""
    return Path(option or os.environ.get(HOME_VARIABLE) or "~/.agg2exp").expanduser().absolute()


@contextmanager
def embedded_server(state_dir: Path | str | None = None) -> Iterator[PrefectServer]:
    """Have a Prefect server while the context lasts, and point Prefect in this process at it.

    If PREFECT_API_URL is set, that server is used as it is. Otherwise the server of the state folder is
    joined, or started; it ends with its last client, whether that one leaves, fails or is killed. Open runs
    that a killed process left are marked as crashed when the next server starts. Where the folder is seen by
    several machines, each has a server of its own: the others' lie in ``machines/NAME`` within it.

    The environment is set inside the context, and restored after it; an imported Prefect follows. Flows may
    therefore be imported before or inside the context, but run inside only, and settings that a caller holds
    with ``prefect.settings.temporary_settings`` go first. Not for threads that use different servers at once.

    Parameters
    ----------
    state_dir : path, optional
        See `state_folder`.

    Yields
    ------
    PrefectServer
        Answering requests.

    Raises
    ------
    UsageError
        If the state folder cannot be used, or no server answers at PREFECT_API_URL.
    Agg2ExpError
        If the server does not start; its last log lines are in the message.
    """
    given_url = os.environ.get("PREFECT_API_URL")
    if given_url:
        yield _given_server(given_url)
        return
    with _joined(state_folder(state_dir)) as (state, port):
        server = PrefectServer(f"http://127.0.0.1:{port}/api", f"http://127.0.0.1:{port}")
        with environment(client_variables(state, server.api_url)):
            yield server


@contextmanager
def _joined(state: Path) -> Iterator[tuple[Path, int]]:
    """Be a client of the server of a state folder, or of this machine's own within one that another holds."""
    own = state / "machines" / name_of(this_machine())
    with ExitStack() as stack:
        try:
            port = _join_or_start(stack, state)
        except _ElsewhereError as error:
            _log.warning(
                "%s is in use by the machine %s; the history of this run is in %s (agg2exp ui --state there)",
                state,
                error,
                own,
            )
            state = own
            try:
                port = _join_or_start(stack, state)
            except _ElsewhereError as other:
                raise UsageError(
                    state,
                    got=f"a state folder in use by another machine named {other}",
                    allowed="a folder of this machine's own",
                    remedy=f"name one with --state or the variable {HOME_VARIABLE}",
                ) from None
        yield state, port


def serve_until_interrupted(state_dir: Path | str | None, announce: Callable[[PrefectServer], None]) -> None:
    """Keep the server of a state folder up until Ctrl-C; `announce` is told once it answers.

    Returns at once after the announcement if PREFECT_API_URL names a server, which needs no keeping.

    Raises
    ------
    Agg2ExpError
        As `embedded_server` does, and if the server ends by itself.
    """
    is_given = bool(os.environ.get("PREFECT_API_URL"))
    state = state_folder(state_dir)
    with embedded_server(state) as server, contextlib.suppress(KeyboardInterrupt):
        announce(server)
        if is_given:
            return
        folder = Path(os.environ["PREFECT_HOME"]).parent  # of this machine, where another holds the state
        while is_locked_alone(folder / "server.json"):
            time.sleep(0.5)
        raise _server_error(folder, "a Prefect server that ended by itself")


@contextmanager
def _membership(state: Path) -> Iterator[None]:
    """Count as a client of the state folder; on leaving as the last one, see the server out."""
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(state / "clients.lock", SHARED):
            pass
    except OSError as error:
        raise UsageError(
            state,
            got=f"a state folder that cannot be used ({error.strerror})",
            allowed="a folder on a local disk that can be written",
            remedy=f"name another with --state or the variable {HOME_VARIABLE}",
        ) from error
    is_last = False
    try:
        with locked(state / "clients.lock", SHARED) as lock:
            try:
                yield
            finally:
                is_last = _is_last(lock)
    finally:
        if is_last:
            _see_out(state)


def _is_last(lock: IO[str]) -> bool:
    # The change from shared to alone is not atomic: the server may take the lock in between.
    return try_lock(lock, ALONE) or not try_lock(lock, SHARED)


def _see_out(state: Path) -> None:
    deadline = time.monotonic() + STOP_S
    while is_locked_alone(state / "server.json"):
        if time.monotonic() > deadline:
            _log.warning("The Prefect server of %s is still stopping after %.0f s.", state, STOP_S)
            return
        time.sleep(0.05)


class _ElsewhereError(Exception):
    """A state folder whose server is on another machine, which the message names."""


def _join_or_start(stack: ExitStack, state: Path) -> int:
    """Become a client of a state folder; return the port of its server, once it answers."""
    with ExitStack() as joining:
        joining.enter_context(_membership(state))
        port, is_new = _reach(state)
        if is_new:
            end_dead_runs(f"http://127.0.0.1:{port}/api")
        stack.enter_context(joining.pop_all())
    return port


def _reach(state: Path) -> tuple[int, bool]:
    """Return the port of the server of a state folder, once it answers, and whether it was started here."""
    with _starting(state):
        is_new = not is_locked_alone(state / "server.json")
        if is_new:
            _start(state)
        deadline = time.monotonic() + START_S
        while True:
            if not is_locked_alone(state / "server.json"):
                raise _server_error(state, "a Prefect server that ended while starting")
            port = int(json.loads((state / "server.json").read_text() or '{"port": 0}')["port"])
            if port and _answers(f"http://127.0.0.1:{port}/api"):
                return port, is_new
            if time.monotonic() > deadline:
                raise _server_error(state, f"a Prefect server that does not answer after {START_S:.0f} s")
            time.sleep(0.1)


@contextmanager
def _starting(state: Path) -> Iterator[None]:
    """Hold the lock of those who look for a server; nobody waits for one of another machine."""
    with (state / "start.lock").open("a+") as file:
        while not try_lock(file, ALONE):
            file.seek(0)
            machine = file.read()
            if machine and machine != this_machine():
                raise _ElsewhereError(name_of(machine))
            time.sleep(0.05)
        try:
            elsewhere = server_elsewhere(state)
            if elsewhere is not None:
                raise _ElsewhereError(name_of(elsewhere))
            file.truncate(0)
            file.write(this_machine())
            file.flush()
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)


def _start(state: Path) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    with (state / "server.log").open("w") as log:
        status = subprocess.run(
            [sys.executable, "-P", str(Path(__file__).with_name("process.py")), str(state), this_machine()],
            cwd=state,  # away from a prefect.toml or .env of the user's
            env=inherited,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # out of the reach of Ctrl-C
        ).returncode
    if status:
        raise _server_error(state, f"exit status {status} of the Prefect server's process")


def _server_error(state: Path, got: str) -> Agg2ExpError:
    log = state / "server.log"
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return Agg2ExpError(
        log,
        got=f"{got}: {' | '.join(lines[-5:]) or 'nothing in its log'}",
        allowed="a server that answers on a loopback port",
        remedy="mend what the log names, or set PREFECT_API_URL to a running server; "
        "`agg2exp doctor --deep` checks the installation",
    )


def _answers(api_url: str, opener: urllib.request.OpenerDirector = _direct) -> bool:
    try:
        with opener.open(f"{api_url}/health", timeout=5) as reply:
            return bool(reply.status == 200)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code in (401, 403)  # up, and wants the key that Prefect will send
    except (OSError, ValueError):
        return False


def _given_server(url: str) -> PrefectServer:
    api_url = url.rstrip("/")
    if not _answers(api_url, urllib.request.build_opener()):
        raise UsageError(
            "PREFECT_API_URL",
            got=f"{url}, where no Prefect server answers",
            allowed="the address of a running server, such as http://127.0.0.1:4200/api",
            remedy="start that server, or unset the variable to have one started here",
        )
    return PrefectServer(api_url, os.environ.get("PREFECT_UI_URL") or api_url.removesuffix("/api"))
