"""The command `pretrain`; `flows.training` joins it to the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli import Debug, State

if TYPE_CHECKING:
    from tasks.pretrain_settings import PretrainSettings


def pretrain(
    config: Annotated[str, typer.Option("--config", help="swin_encoder, swin_encoder_small or a YAML file.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the encoder, its curves and checkpoint.")],
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    n_devices: Annotated[int, typer.Option("--devices", help="How many devices share the work.")] = 1,
    state: State = None,
    debug: Debug = False,
) -> int:
    """Pre-train a Swin encoder on scans without labels, or go on with what was interrupted."""
    settings = settings_of(config, out, device, n_devices)
    from flows.exit_codes import DONE
    from flows.launch import carry_out, console, served

    with served(state):
        from flows.pretrain import pretrain as flow

        done = carry_out(flow, settings)
    console.print(
        f"lowest loss on validation {done.loss:.3f} after {done.step} updates; "
        f"{done.rotation_accuracy:.0%} of the turns told"
    )
    console.print(f"encoder: {done.encoder}", soft_wrap=True)
    console.print(f"next: agg2exp train --pretrained {done.encoder} --config …", soft_wrap=True)
    return DONE


def settings_of(config: str, out: Path, device: str, n_devices: int) -> PretrainSettings:
    """Return what is pre-trained, checked.

    Raises
    ------
    UsageError
        If the configuration or the device makes no sense.
    """
    from agg2exp_core.errors import UsageError
    from agg2exp_core.models.wrapping import choose_device
    from agg2exp_core.training import build_proxies, read_pretraining_config
    from tasks.pretrain_settings import PretrainSettings

    chosen = read_pretraining_config(config)
    build_proxies(chosen)
    choose_device(device)
    if n_devices < 1:
        raise UsageError("--devices", got=f"{n_devices}", allowed="1 or more", remedy="leave the default")
    return PretrainSettings(chosen, str(out), device, n_devices)
