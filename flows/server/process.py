"""The server process: Prefect's own server, and a watch that ends it when its last client is gone.

Run as a script, ``python -P process.py STATE MACHINE``, so that it loads nothing but Prefect. Returns
once the server is a process of its own that holds ``STATE/server.json``; whether it serves is for the
caller to see.
"""

from __future__ import annotations

import fcntl
import json
import os
import runpy
import signal
import socket
import sys
import threading
import time
from pathlib import Path

HOST = "127.0.0.1"
WATCH_INTERVAL_S = 0.2
GRACE_S = 5.0


def main(state: Path, machine: str) -> None:
    """Detach, claim the state folder, and serve it."""
    info = state / "server.json"
    # A bare descriptor is closed by nothing but the end of the process, and the lock with it.
    claim = os.open(info, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(claim, fcntl.LOCK_EX)
    port = _free_port(preferred=_last_port(info))
    pid = os.fork()
    if pid:  # who waits for this end reads the record next
        info.write_text(json.dumps({"port": port, "pid": pid, "machine": machine}))
        os._exit(0)
    threading.Thread(target=_end_with_last_client, args=(state / "clients.lock",), daemon=True).start()
    os.environ.update(_settings(state, port))
    sys.argv = ["prefect", "server", "start", "--host", HOST, "--port", str(port)]
    runpy.run_module("prefect", run_name="__main__")


def _settings(state: Path, port: int) -> dict[str, str]:
    recorder = "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER"
    return {
        "PREFECT_HOME": str(state / "prefect"),
        "PREFECT_SERVER_API_HOST": HOST,
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_UI_API_URL": f"http://{HOST}:{port}/api",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        f"{recorder}_BATCH_SIZE": "100",  # one by one, a task run costs three times as much
        f"{recorder}_READ_BATCH_SIZE": "100",
        f"{recorder}_FLUSH_INTERVAL": "1",
        "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "1",
    }


def _end_with_last_client(clients: Path) -> None:
    with clients.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(WATCH_INTERVAL_S)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_S)
        os._exit(1)  # an open browser connection can hold the server back


def _last_port(info: Path) -> int:
    """Return the port of the server before, so that links into its pages stay right; 0 if there was none."""
    try:
        return int(json.loads(info.read_text())["port"])
    except (ValueError, KeyError, TypeError):
        return 0


def _free_port(preferred: int) -> int:
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except (OSError, OverflowError):
                continue
            return int(probe.getsockname()[1])
    raise OSError(f"no free port on {HOST}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
