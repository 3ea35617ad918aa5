"""Self-supervised pre-training of a Swin encoder (Tang et al. 2022).

It learns from scans without labels: inpainting, rotation, contrastive coding.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from lightning_fabric import Fabric
from monai.losses.contrastive import ContrastiveLoss
from monai.networks.nets.swin_unetr import SwinUNETR

from agg2exp_core.errors import UsageError
from agg2exp_core.training.config import PretrainingConfig, PretrainingSettings
from agg2exp_core.training.curves import Panel
from agg2exp_core.training.loop import Objective, OnStep, Row, run_training
from agg2exp_core.training.networks import build_network
from agg2exp_core.training.saving import save_weights
from agg2exp_core.training.views import VALIDATION, ViewBatches, Views

N_TURNS = 4
CODE_LENGTH = 512


class Answers(NamedTuple):
    """What the heads say of N views.

    Parameters
    ----------
    whole : torch.Tensor, shape [N, C, *window]
        The view without its holes.
    turns : torch.Tensor, shape [N, 4]
        Logits of the number of quarter turns.
    codes : torch.Tensor, shape [N, 512]
        Alike for views of one patch.
    """

    whole: torch.Tensor
    turns: torch.Tensor
    codes: torch.Tensor


class ProxyTasks(torch.nn.Module):
    """A Swin encoder with a head for each task on its deepest features.

    The heads are those of the paper: one transposed convolution that rebuilds the view, and a linear layer
    each for the turns and the code. The latter two read the mean over the deepest tokens (the published
    code reads one corner token each).

    Parameters
    ----------
    network : SwinUNETR
        Whose encoder is taken.
    n_channels : int
        Of the images.
    """

    def __init__(self, network: SwinUNETR, n_channels: int) -> None:
        super().__init__()
        self.encoder = network.swinViT
        self._normalize = network.normalize
        width, step = 2 * self.encoder.num_features, network.patch_size * 2**self.encoder.num_layers
        self.inpainting = torch.nn.ConvTranspose3d(width, n_channels, kernel_size=step, stride=step)
        self.rotation = torch.nn.Linear(width, N_TURNS)
        self.coding = torch.nn.Linear(width, CODE_LENGTH)

    def forward(self, seen: torch.Tensor) -> Answers:
        """Return the answers to views ``[N, C, *window]``."""
        deepest = self.encoder(seen, self._normalize)[-1]  # [N, width, *window / 32]
        overall = deepest.mean(dim=(2, 3, 4))  # [N, width]
        return Answers(self.inpainting(deepest), self.rotation(overall), self.coding(overall))


def task_losses(answers: Answers, views: Views, settings: PretrainingSettings) -> dict[str, torch.Tensor]:
    """Return the loss of each task: mean absolute error, cross-entropy, and that of SimCLR."""
    first, second = answers.codes.float().chunk(2)
    return {
        "inpainting": torch.nn.functional.l1_loss(answers.whole.float(), views.whole),
        "rotation": torch.nn.functional.cross_entropy(answers.turns.float(), views.turns),
        "contrastive": ContrastiveLoss(settings.temperature)(first, second),
    }


def weighted_sum(losses: dict[str, torch.Tensor], settings: PretrainingSettings) -> torch.Tensor:
    """Return the loss of all tasks."""
    return (
        settings.inpainting_weight * losses["inpainting"]
        + settings.rotation_weight * losses["rotation"]
        + settings.contrastive_weight * losses["contrastive"]
    )


def pretrain(
    config: PretrainingConfig,
    training: Sequence[torch.Tensor],
    validation: Sequence[torch.Tensor],
    folder: str | Path,
    *,
    device: str = "auto",
    n_devices: int = 1,
    on_step: OnStep | None = None,
) -> list[Row]:
    """Teach a Swin encoder to rebuild, to tell turns and to know a patch again, from scans without labels.

    It goes on where it was interrupted and repeats as `agg2exp_core.training.train` does.

    Parameters
    ----------
    config : PretrainingConfig
        The encoder and how it learns.
    training, validation : sequence of torch.Tensor
        Scans ``[C, X, Y, Z]`` that it learns from, and that the best weights are chosen by.
    folder : str or Path
        Gets ``checkpoint.pt``, ``curves.csv``, ``curves.png`` and the encoder with the lowest validation
        loss, as ``network.pretrained`` of a training takes it.
    device, n_devices, on_step
        See `agg2exp_core.training.loop.run_training`.

    Returns
    -------
    list of dict
        The curves: a row for each validation with ``step``, ``loss`` (mean since the one before),
        ``learning_rate``, and on the validation scans ``validation_loss``, its parts ``inpainting``,
        ``rotation`` and ``contrastive``, and ``rotation_accuracy``.

    Raises
    ------
    UsageError
        If the network is no Swin UNETR, the folder holds a training with other settings, or the loss is no
        number any more.
    """
    objective = _Proxies(config, training, validation)
    return run_training(objective, Path(folder), device=device, n_devices=n_devices, on_step=on_step)


def build_proxies(config: PretrainingConfig) -> ProxyTasks:
    """Return the encoder of a configuration and its heads as pre-training begins with them.

    Raises
    ------
    UsageError
        If the network is no Swin UNETR.
    """
    seed = config.training.seed
    network = build_network(config, seed)
    if not isinstance(network, SwinUNETR):
        raise UsageError(
            "network.name",
            got=f"{config.network.name!r}",
            allowed="SwinUNETR, whose encoder is pre-trained",
            remedy="correct the configuration",
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ProxyTasks(network, n_channels=1)


class _Proxies(Objective[PretrainingConfig, torch.Tensor]):
    @property
    def panel(self) -> Panel:
        parts = ("inpainting", "rotation", "contrastive", "rotation_accuracy")
        return Panel("on validation", {"validation_loss": "loss"}, parts)

    def build(self) -> torch.nn.Module:
        return build_proxies(self.config)

    def batches(self, rank: int) -> ViewBatches:
        return ViewBatches(self.training, self.config.training, rank)

    def loss(self, network: torch.nn.Module, batch: Views) -> torch.Tensor:
        settings = self.config.training
        return weighted_sum(task_losses(network(batch.seen), batch, settings), settings)

    def validate(self, fabric: Fabric, network: torch.nn.Module) -> Row:
        settings = self.config.training
        batches = ViewBatches(self.validation, settings, VALIDATION)
        network.eval()
        sums: Row = {}
        with torch.no_grad(), fabric.autocast():
            for number in range(settings.n_validation_batches):
                views = fabric.to_device(batches[number])
                answers = network(views.seen)
                losses = task_losses(answers, views, settings)
                right = (answers.turns.argmax(dim=1) == views.turns).float().mean()
                loss = weighted_sum(losses, settings)
                scores = {"validation_loss": loss, **losses, "rotation_accuracy": right}
                for name, value in scores.items():
                    sums[name] = sums.get(name, 0.0) + float(value)
        return {name: value / settings.n_validation_batches for name, value in sums.items()}

    def save(self, folder: Path, network: torch.nn.Module) -> None:
        save_weights(folder / self.config.encoder_file, network.get_submodule("encoder"))
