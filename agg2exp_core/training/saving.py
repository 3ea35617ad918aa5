"""A trained network on disk, as `agg2exp_core.models.load_model` reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save

from agg2exp_core.training.checkpoints import replace_file


def save_model(
    folder: str | Path,
    description: Mapping[str, Any],
    network: torch.nn.Module,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write ``model.yaml`` and its weights, the real ones as `dtype`, each complete or not at all."""
    folder = Path(folder)
    save_weights(folder / description["weights"], network, dtype)
    text = yaml.safe_dump(dict(description), sort_keys=False, default_flow_style=None, width=100)
    replace_file(folder / "model.yaml", lambda file: file.write(text.encode()))


def save_weights(file: Path, network: torch.nn.Module, dtype: torch.dtype = torch.float32) -> None:
    """Write the weights of a network as safetensors, the real ones as `dtype`, complete or not at all."""
    weights = {
        name: (value.to(dtype) if value.is_floating_point() else value).cpu().contiguous()
        for name, value in network.state_dict().items()
    }
    replace_file(file, lambda target: target.write(save(weights)))
