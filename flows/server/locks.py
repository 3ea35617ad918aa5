"""Advisory file locks (flock) of a state folder: held by a process, let go by the kernel when it ends.

============== ============================ ======================================================
file           held by                      meaning
============== ============================ ======================================================
clients.lock   every client, shared         the server is wanted; the server takes it alone to stop
start.lock     one client, alone            a server is being looked for or started, on which machine
server.json    the server, alone            its port and pid; true only while it is locked
============== ============================ ======================================================
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

SHARED = fcntl.LOCK_SH
ALONE = fcntl.LOCK_EX


def try_lock(file: IO[str], kind: int) -> bool:
    """Take a lock, or change to it, if nobody is in the way; a lock that was held is lost if it fails."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def locked(path: Path, kind: int) -> Iterator[IO[str]]:
    """Hold a lock, waiting for it, and let it go even where forked children have inherited the file."""
    with path.open("a") as file:
        fcntl.flock(file, kind)
        try:
            yield file
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)


def is_locked_alone(path: Path) -> bool:
    """Tell whether a process holds `path` alone."""
    try:
        with path.open() as file:
            return not try_lock(file, SHARED)
    except FileNotFoundError:
        return False
