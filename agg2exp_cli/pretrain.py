"""The command `pretrain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agg2exp_cli.app import command_app
from agg2exp_cli.options import Debug, State

if TYPE_CHECKING:
    from agg2exp_core.training.settings import PretrainSettings


app = command_app()


@app.command(epilog="docs/training.md says what it learns from and what takes the encoder over.")
def pretrain(
    config: Annotated[str, typer.Option("--config", help="swin_encoder, swin_encoder_small or a YAML file.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the encoder, its curves and checkpoint.")],
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    n_devices: Annotated[int, typer.Option("--devices", help="How many devices share the work.")] = 1,
    state: State = None,
    debug: Debug = False,
) -> int:
    """Pre-train a Swin encoder on scans without labels, or go on with what was interrupted."""
    settings = pretrain_settings(config, out, device, n_devices)
    from agg2exp_cli.exit_codes import DONE
    from agg2exp_cli.running import carry_out, console, served

    with served(state):
        from agg2exp.flows.train import pretrain as flow

        done = carry_out(flow, settings)
    console.print(done.summary)
    console.print(f"encoder: {done.path}", soft_wrap=True)
    console.print(f"next: agg2exp train --pretrained {done.path} --config …", soft_wrap=True)
    return DONE


def pretrain_settings(config: str, out: Path, device: str, n_devices: int) -> PretrainSettings:
    """Return what is pre-trained, checked.

    Raises
    ------
    UsageError
        If the configuration or the device makes no sense.
    """
    from agg2exp_core.errors import UsageError
    from agg2exp_core.models.wrapping import choose_device
    from agg2exp_core.training import build_proxies, read_pretraining_config
    from agg2exp_core.training.settings import PretrainSettings

    chosen = read_pretraining_config(config)
    build_proxies(chosen)
    choose_device(device)
    if n_devices < 1:
        raise UsageError("--devices", got=f"{n_devices}", allowed="1 or more", remedy="leave the default")
    return PretrainSettings(config=chosen, out=str(out), device=device, n_devices=n_devices)
