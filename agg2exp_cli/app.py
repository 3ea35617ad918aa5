"""The command line's table of commands; each is loaded when it is asked for.

A mistyped command or option is answered before the libraries that do the work are loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

GROUPS: Mapping[str, Mapping[str, str]] = {
    "Try": {
        "demo": "Make synthetic scans, explain them with a packaged model, show the report.",
        "doctor": "Check versions, devices, memory, folders and a store.",
    },
    "Explain": {
        "explain": "Explain scans, and reduce the explanations to class-by-region matrices.",
        "benchmark": "Judge attribution methods by metrics, over scans.",
        "reduce": "Make the matrices again from stored attributions, for instance with new regions.",
        "calibrate": "Learn what a model's doubt says of its Dice, from scans that it handles.",
        "analyse": "Find abnormal scans and why, compare cohorts, draw pictures of the matrices.",
    },
    "Look and hand on": {
        "report": "Write pages that open from a disk: the cohort, and each scan with its volume.",
        "export": "Write an attribution or label map in the scan's own space, or the matrices as a table.",
        "ui": "Show the history of runs in the Prefect UI, until Ctrl-C.",
    },
    "Train and compare models": {
        "train": "Train a network, or go on with a training that was interrupted.",
        "pretrain": "Pre-train a Swin encoder on scans without labels, or go on.",
        "compare-models": "Score models on the same scans, and test whether they differ.",
        "datalist": "Merge TotalSegmentator's masks to the paper's 17 classes, and list the scans by split.",
        "phantom": "Write a cohort of synthetic scans with their truth.",
    },
    "Run a service": {
        "deploy": "Bring pools, queues, deployments and schedules of a Prefect server up to date.",
        "worker": "Start a worker on each device, and keep them alive until Ctrl-C.",
        "ingest": "Take in new scans from a folder, S3 or a PACS, de-identified and each once.",
        "retention": "Drop the voxels of old attributions; their matrices stay.",
    },
}
"""Commands with a line of help each, as ``agg2exp --help`` shows them."""


class Commands(TyperGroup):
    """A group whose commands are modules of this package, named as they are."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands."""
        return [name for group in GROUPS.values() for name in group]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, or None if there is none of this name."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = import_module(f"agg2exp_cli.{cmd_name.replace('-', '_')}")
        command = typer.main.get_command(module.app)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands by their groups, without loading any."""
        for heading, group in GROUPS.items():
            with formatter.section(heading):
                formatter.write_dl(list(group.items()))


app = typer.Typer(
    name="agg2exp",
    cls=Commands,
    help="Explain 3D segmentation models: voxel attributions, and the regions that they lie in.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"agg2exp {version('agg2exp')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Explain 3D segmentation models: voxel attributions, and the regions that they lie in."""


def command_app() -> typer.Typer:
    """Return the application of one command, for its module."""
    return typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
