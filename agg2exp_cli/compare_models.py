"""The command `compare-models`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agg2exp_cli.app import command_app
from agg2exp_cli.options import Debug, State

app = command_app()


@app.command()
def compare_models(
    models: Annotated[list[str], typer.Argument(help="Two models or more: folders, files or names.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the table, its tests and the figure.")],
    config: Annotated[
        str | None, typer.Option("--config", help="Score on the test scans of this configuration.")
    ] = None,
    tree: Annotated[
        Path | None, typer.Option("--tree", help="Score on the test scans of a tree like TotalSegmentator's.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, or a GPU such as cuda:0.")] = "auto",
    state: State = None,
    debug: Debug = False,
) -> int:
    """Score models on the same scans: Dice by class, IoU, surface Dice, tests of their differences."""
    from agg2exp_cli.exit_codes import DONE
    from agg2exp_core.training.comparison import check_comparison

    settings = check_comparison(models, str(out), config, str(tree) if tree else None, device)
    from agg2exp_cli.running import carry_out, console, served

    with served(state):
        from agg2exp.flows.train import compare_models as flow

        markdown = carry_out(flow, settings)
    from rich.markdown import Markdown

    console.print(Markdown(markdown))
    console.print(f"table, tests and figure: {out}", soft_wrap=True)
    return DONE
