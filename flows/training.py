"""The commands `train`, `pretrain` and `compare-models`, joined to the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli import Debug, State
from flows.pretraining import pretrain

if TYPE_CHECKING:
    from tasks.train import Trained
    from tasks.train_settings import TrainSettings

Config = Annotated[str, typer.Option("--config", help="A packaged configuration by name, or a YAML file.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command(epilog="docs/training.md lists the configurations and their settings.")(train)
    app.command(epilog="docs/training.md says what it learns from and what takes the encoder over.")(pretrain)
    app.command()(compare_models)


def train(
    config: Config,
    out: Annotated[Path, typer.Option("--out", help="Folder of the model, its curves and checkpoint.")],
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    n_devices: Annotated[int, typer.Option("--devices", help="How many devices share the work.")] = 1,
    weights: Annotated[
        list[float] | None,
        typer.Option("--cross-entropy-weight", help="Lambda of the loss; again for a grid (paper: 0.5, 1)."),
    ] = None,
    pretrained: Annotated[
        Path | None, typer.Option("--pretrained", help="Swin encoder to start from (network.pretrained).")
    ] = None,
    state: State = None,
    debug: Debug = False,
) -> int:
    """Train a network, or go on with a training that was interrupted."""
    from tasks.train_settings import with_weights

    settings = settings_of(config, out, device, n_devices, pretrained)
    with_weights(settings, weights or [])
    from flows.launch import carry_out, served

    with served(state):
        from flows.train import train as flow

        trained = carry_out(flow, settings, weights)
    return conclude(trained)


def settings_of(
    config: str, out: Path, device: str, n_devices: int, pretrained: Path | None = None
) -> TrainSettings:
    """Return what is trained, checked.

    Raises
    ------
    UsageError
        If the configuration or the device makes no sense.
    ModelError
        If the pretrained weights do not fit.
    """
    from agg2exp_core.errors import UsageError
    from agg2exp_core.models.wrapping import choose_device
    from agg2exp_core.training import build_network, read_config
    from tasks.train_settings import TrainSettings

    chosen = read_config(config)
    if pretrained is not None:
        network = chosen.network.model_copy(update={"pretrained": pretrained})
        chosen = chosen.model_copy(update={"network": network})
    build_network(chosen, chosen.training.seed)
    choose_device(device)
    if n_devices < 1:
        raise UsageError("--devices", got=f"{n_devices}", allowed="1 or more", remedy="leave the default")
    return TrainSettings(chosen, str(out), device, n_devices)


def conclude(trained: list[Trained]) -> int:
    """Print what each training came to, the best first; return the exit code."""
    from rich.table import Table

    from flows.exit_codes import DONE
    from flows.launch import console

    table = Table(title="best mean Dice on validation")
    for heading in ("Dice", "updates", "model"):
        table.add_column(heading)
    for one in sorted(trained, key=lambda one: -one.dice):
        table.add_row(f"{one.dice:.3f}", str(one.step), f"{one.out}/model")
    console.print(table)
    return DONE


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
    from flows.exit_codes import DONE
    from tasks.train_settings import comparison

    settings = comparison(models, str(out), config, str(tree) if tree else None, device)
    from flows.launch import carry_out, console, served

    with served(state):
        from flows.compare_models import compare_models as flow

        markdown = carry_out(flow, settings)
    from rich.markdown import Markdown

    console.print(Markdown(markdown))
    console.print(f"table, tests and figure: {out}", soft_wrap=True)
    return DONE
