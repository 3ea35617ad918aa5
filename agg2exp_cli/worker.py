"""The command `worker`."""

from __future__ import annotations

from typing import Annotated

import typer

from agg2exp_cli.app import command_app
from agg2exp_cli.options import Debug

app = command_app()


@app.command(epilog="The Prefect server is the one that PREFECT_API_URL names.")
def worker(
    devices: Annotated[
        str, typer.Option("--devices", help="all, cpu, cpu:N, or GPUs such as cuda:0,cuda:1.")
    ] = "all",
    pool: Annotated[str, typer.Option("--pool", help="Work pool: gpu or cpu.")] = "gpu",
    debug: Debug = False,
) -> int:
    """Start a worker on each device, and keep them alive until Ctrl-C."""
    from agg2exp.deployments.applying import require_server
    from agg2exp.deployments.workers import places, serve

    chosen = places(devices)
    require_server()
    serve(chosen, pool, typer.echo)
    return 0
