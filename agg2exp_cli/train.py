"""The command `train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agg2exp_cli.app import command_app
from agg2exp_cli.options import Debug, State

if TYPE_CHECKING:
    from agg2exp_core.training.fitting import TrainingResult
    from agg2exp_core.training.settings import TrainSettings

Config = Annotated[str, typer.Option("--config", help="A packaged configuration by name, or a YAML file.")]


app = command_app()


@app.command(epilog="docs/training.md lists the configurations and their settings.")
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
    from agg2exp_core.training.settings import with_weights

    settings = train_settings(config, out, device, n_devices, pretrained)
    with_weights(settings, weights or [])
    from agg2exp_cli.running import carry_out, served

    with served(state):
        from agg2exp.flows.train import train as flow

        trained = carry_out(flow, settings, weights)
    return print_trained(trained)


def train_settings(
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
    from agg2exp_core.training.settings import TrainSettings

    chosen = read_config(config)
    if pretrained is not None:
        network = chosen.network.model_copy(update={"pretrained": pretrained})
        chosen = chosen.model_copy(update={"network": network})
    build_network(chosen, chosen.training.seed)
    choose_device(device)
    if n_devices < 1:
        raise UsageError("--devices", got=f"{n_devices}", allowed="1 or more", remedy="leave the default")
    return TrainSettings(config=chosen, out=str(out), device=device, n_devices=n_devices)


def print_trained(trained: list[TrainingResult]) -> int:
    """Print what each training came to, the best first; return the exit code."""
    from rich.table import Table

    from agg2exp_cli.exit_codes import DONE
    from agg2exp_cli.running import console

    table = Table(title="best mean Dice on validation")
    for heading in ("Dice", "updates", "model"):
        table.add_column(heading)
    for one in sorted(trained, key=lambda one: -one.best["dice"]):
        table.add_row(f"{one.best['dice']:.3f}", str(one.best["step"]), one.path)
    console.print(table)
    return DONE
