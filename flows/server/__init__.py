"""An own Prefect server on one machine, shared by every command that uses the same state folder.

A command that needs a server joins the one that serves its state folder, or starts it. The server ends when
its last client is gone, however that client ended: clients and server hold file locks, which the kernel lets
go with their process.
"""

from agg2exp.flows.server.embedded import (
    PrefectServer,
    embedded_server,
    serve_until_interrupted,
    state_folder,
)
from agg2exp.flows.server.recording import wait_until_recorded

__all__ = [
    "PrefectServer",
    "embedded_server",
    "serve_until_interrupted",
    "state_folder",
    "wait_until_recorded",
]
