"""Which machine this is: the loopback address of a server means nothing on another that sees its folder."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

from agg2exp.flows.server.locks import is_locked_alone


def this_machine() -> str:
    """Return what tells this machine, or container, from others that see the same folder."""
    parts = [socket.gethostname()]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(str(Path("/proc/self/ns/net").readlink()))
    except OSError:  # not Linux: the name must do
        pass
    return " ".join(parts)


def name_of(machine: str) -> str:
    """Return the name of a machine, as a folder may be called."""
    return re.sub(r"[^A-Za-z0-9.-]", "_", machine.partition(" ")[0]) or "unnamed"


def server_elsewhere(state: Path) -> str | None:
    """Return the machine whose server holds a state folder; None if it is this one, or there is no server."""
    if not is_locked_alone(state / "server.json"):
        return None
    try:
        machine = str(json.loads((state / "server.json").read_text())["machine"])
    except (ValueError, KeyError, TypeError):  # just starting here, or written by an earlier release
        return None
    return None if machine == this_machine() else machine
