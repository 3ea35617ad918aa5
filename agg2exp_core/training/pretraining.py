"""Self-supervised pre-training of a Swin encoder (Tang et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning_fabric import Fabric
from monai.networks.nets.swin_unetr import SwinUNETR

from agg2exp_core.errors import UsageError
from agg2exp_core.training.curves import Panel
from agg2exp_core.training.identity import identity_of
from agg2exp_core.training.loop import Progress, Row, run
from agg2exp_core.training.networks import build_network
from agg2exp_core.training.pretraining_config import PretrainingConfig, PretrainingSettings
from agg2exp_core.training.proxies import ProxyTasks, task_losses, total
from agg2exp_core.training.saving import save_weights
from agg2exp_core.training.views import VALIDATION, ViewBatches, Views


def pretrain(
    config: PretrainingConfig,
    training: Sequence[torch.Tensor],
    validation: Sequence[torch.Tensor],
    folder: str | Path,
    *,
    device: str = "auto",
    n_devices: int = 1,
    on_step: Progress | None = None,
) -> list[Row]:
    """Teach a Swin encoder to rebuild, to tell turns and to know a patch again, from scans without labels.

    On a CPU, equal settings, data and threads give equal weights, whether it ran through or was stopped at
    any point and called again.

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
        See `agg2exp_core.training.loop.run`.

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
    proxies = _Proxies(config, training, validation)
    return run(proxies, Path(folder), device=device, n_devices=n_devices, on_step=on_step)


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


@dataclass(frozen=True)
class _Proxies:
    """See `agg2exp_core.training.loop.Objective`."""

    config: PretrainingConfig
    training: Sequence[torch.Tensor]
    validation: Sequence[torch.Tensor]

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def schedule(self) -> PretrainingSettings:
        return self.config.training

    @property
    def identity(self) -> str:
        return identity_of(self.config)

    @property
    def panel(self) -> Panel:
        parts = ("inpainting", "rotation", "contrastive", "rotation_accuracy")
        return Panel("on validation", {"validation_loss": "loss"}, parts)

    def build(self) -> torch.nn.Module:
        return build_proxies(self.config)

    def batches(self, rank: int) -> ViewBatches:
        return ViewBatches(self.training, self.schedule, rank)

    def loss(self, network: torch.nn.Module, batch: Views) -> torch.Tensor:
        return total(task_losses(network(batch.seen), batch, self.schedule), self.schedule)

    def validate(self, fabric: Fabric, network: torch.nn.Module) -> dict[str, float]:
        settings = self.schedule
        batches = ViewBatches(self.validation, settings, VALIDATION)
        network.eval()
        sums: dict[str, float] = {}
        with torch.no_grad(), fabric.autocast():
            for number in range(settings.n_validation_batches):
                views = fabric.to_device(batches[number])
                answers = network(views.seen)
                losses = task_losses(answers, views, settings)
                right = (answers.turns.argmax(dim=1) == views.turns).float().mean()
                scores = {"validation_loss": total(losses, settings), **losses, "rotation_accuracy": right}
                for name, value in scores.items():
                    sums[name] = sums.get(name, 0.0) + float(value)
        return {name: value / settings.n_validation_batches for name, value in sums.items()}

    def quality(self, row: Row) -> float:
        return -row["validation_loss"]

    def save(self, folder: Path, network: torch.nn.Module) -> None:
        save_weights(folder / self.config.encoder_file, network.get_submodule("encoder"))
