"""What a training leaves on disk: its state and its model, each complete or not there at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save

from agg2exp_core.errors import UsageError
from agg2exp_core.files import whole_file

CHECKPOINT = "checkpoint.pt"


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write a state of tensors and plain values; a process killed meanwhile leaves the one before."""
    # By a path of its own, torch.save raises no OSError where the disk is full.
    with whole_file(folder / CHECKPOINT, make_folder=True) as partial, partial.open("wb") as file:
        torch.save(state, file)


def load_checkpoint(folder: Path, identity: str) -> dict[str, Any] | None:
    """Return the state that a folder holds, if any, on the CPU.

    Raises
    ------
    UsageError
        If it belongs to a training with other settings, or cannot be read.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found = state["identity"]
    except Exception as error:  # the reader raises whatever the bytes provoke
        raise UsageError(
            path,
            got="a checkpoint that cannot be read",
            allowed="one that this program wrote",
            remedy="remove the file to begin again",
        ) from error
    if found != identity:
        raise UsageError(
            folder,
            got="a training begun with other settings",
            allowed="the settings that it was begun with",
            remedy="name another output folder",
        )
    return state


def save_model(
    folder: str | Path,
    description: Mapping[str, Any],
    network: torch.nn.Module,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write ``model.yaml`` and its weights, the real ones as `dtype`, as `load_model` reads them."""
    folder = Path(folder)
    save_weights(folder / description["weights"], network, dtype)
    text = yaml.safe_dump(dict(description), sort_keys=False, default_flow_style=None, width=100)
    with whole_file(folder / "model.yaml", make_folder=True) as partial:
        partial.write_text(text)


def save_weights(file: Path, network: torch.nn.Module, dtype: torch.dtype = torch.float32) -> None:
    """Write the weights of a network as safetensors, the real ones as `dtype`."""
    weights = {
        name: (value.to(dtype) if value.is_floating_point() else value).cpu().contiguous()
        for name, value in network.state_dict().items()
    }
    with whole_file(file, make_folder=True) as partial:
        partial.write_bytes(save(weights))
