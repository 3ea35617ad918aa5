"""The command `ui`."""

from __future__ import annotations

import typer

from agg2exp_cli.app import command_app
from agg2exp_cli.options import Debug, State

app = command_app()


@app.command()
def ui(state: State = None, debug: Debug = False) -> int:
    """Show the history of runs in the Prefect UI, until Ctrl-C."""
    from agg2exp.flows.server import serve_until_interrupted

    serve_until_interrupted(
        state, lambda server: typer.echo(f"Prefect UI: {server.ui_url}  (Ctrl-C to stop)")
    )
    return 0
