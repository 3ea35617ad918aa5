"""Training of a segmentation network, and its description and weights on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import monai.networks.nets
import torch
import yaml
from monai.losses.dice import DiceCELoss
from safetensors.torch import save

from agg2exp_core.errors import UsageError
from agg2exp_core.training.examples import Example, draw_batch
from agg2exp_core.types import Shape3


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained; the defaults are the paper's (appendix B.3).

    Parameters
    ----------
    window_shape : tuple of int
        Voxels of a training patch.
    n_steps : int
        Updates of the weights.
    batch_size : int
        Patches per update.
    learning_rate : float
        Of AdamW at the start; it falls to 0 along a cosine.
    weight_decay : float
        Of AdamW.
    seed : int
        Of patches and augmentation.

    Raises
    ------
    UsageError
        If a number is not positive.
    """

    window_shape: Shape3 = (96, 96, 96)
    n_steps: int = 1000
    batch_size: int = 4
    learning_rate: float = 1e-4
    weight_decay: float = 1e-5
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_steps", "batch_size", "learning_rate"):
            if not getattr(self, name) > 0:
                raise UsageError(
                    name, got=f"{getattr(self, name)}", allowed="more than 0", remedy="leave the default"
                )


def train(
    network: torch.nn.Module,
    dataset: Sequence[Example],
    settings: TrainingSettings,
    on_step: Callable[[int, float], None] | None = None,
) -> torch.nn.Module:
    """Train a network on random patches with Dice and cross-entropy.

    On a CPU, equal weights, data, settings and threads give equal weights.

    Parameters
    ----------
    network : torch.nn.Module
        Logits ``[B, L, *window]`` from ``[B, C, *window]``; changed in place.
    dataset : sequence of Example
        What to learn from.
    settings : TrainingSettings
        How.
    on_step : callable, optional
        Called after every update with its number, from 1, and its loss.

    Returns
    -------
    torch.nn.Module
        The network, in evaluation mode.
    """
    device = next(network.parameters()).device
    random = torch.Generator().manual_seed(settings.seed)
    criterion = DiceCELoss(to_onehot_y=True, softmax=True, batch=True)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.n_steps)
    network.train()
    for step in range(1, settings.n_steps + 1):
        images, labels = draw_batch(dataset, settings.window_shape, settings.batch_size, random)
        optimiser.zero_grad(set_to_none=True)
        loss = criterion(network(images.to(device)), labels.to(device))
        loss.backward()
        optimiser.step()
        schedule.step()
        if on_step is not None:
            on_step(step, float(loss.detach()))
    return network.eval()


def build_network(description: Mapping[str, Any], seed: int) -> torch.nn.Module:
    """Return the untrained MONAI network of a model description, its weights drawn from `seed`."""
    network = description["network"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        built: torch.nn.Module = getattr(monai.networks.nets, network["name"])(**network["arguments"])
    return built


def save_model(folder: str | Path, description: Mapping[str, Any], network: torch.nn.Module) -> None:
    """Write ``model.yaml`` and its weights, which `agg2exp_core.models.load_model` reads."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    (folder / description["weights"]).write_bytes(save(weights))
    text = yaml.safe_dump(dict(description), sort_keys=False, default_flow_style=None, width=100)
    (folder / "model.yaml").write_text(text)
