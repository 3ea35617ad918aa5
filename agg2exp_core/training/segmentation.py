"""Training of a segmenter: Dice and cross-entropy, chosen by the Dice of each class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from lightning_fabric import Fabric
from monai.losses.dice import DiceCELoss

from agg2exp_core.models import with_precision
from agg2exp_core.models.description import ModelDescription
from agg2exp_core.prediction import predict
from agg2exp_core.training.config import TrainingConfig
from agg2exp_core.training.curves import Panel
from agg2exp_core.training.evaluation import evaluate
from agg2exp_core.training.examples import Example
from agg2exp_core.training.loop import Objective, OnStep, Row, run_training
from agg2exp_core.training.networks import build_network
from agg2exp_core.training.sampling import Batch, PatchBatches
from agg2exp_core.training.saving import save_model


def train(
    config: TrainingConfig,
    training: Sequence[Example],
    validation: Sequence[Example],
    folder: str | Path,
    *,
    device: str = "auto",
    n_devices: int = 1,
    on_step: OnStep | None = None,
) -> list[Row]:
    """Train a network on random patches with Dice and cross-entropy.

    On a CPU, equal settings, data and threads give equal weights, whether the training ran through or
    was stopped at any point and called again.

    Parameters
    ----------
    config : TrainingConfig
        The network and how it is trained.
    training, validation : sequence of Example
        What it learns from, and what the best weights are chosen by. With several devices they are
        sent to each process.
    folder : str or Path
        Gets ``checkpoint.pt``, ``curves.csv``, ``curves.png`` and ``model/``: the weights with the highest
        mean validation Dice of the structures. Where a training of the same settings was interrupted,
        it goes on; a finished one is returned as it is.
    device, n_devices, on_step
        See `agg2exp_core.training.loop.run_training`.

    Returns
    -------
    list of dict
        The curves: a row for each validation with ``step``, ``loss`` (mean since the one before),
        ``learning_rate``, ``dice`` (mean over structures) and the Dice of each class by name.

    Raises
    ------
    UsageError
        If the folder holds a training with other settings, or the loss is no number any more.
    """
    objective = _Segmentation(config, training, validation)
    return run_training(objective, Path(folder), device=device, n_devices=n_devices, on_step=on_step)


class _Segmentation(Objective[TrainingConfig, Example]):
    @property
    def panel(self) -> Panel:
        return Panel("validation Dice", {"dice": "mean of the structures"}, self.config.class_names, (0, 1))

    def build(self) -> torch.nn.Module:
        return build_network(self.config, self.config.training.seed)

    def batches(self, rank: int) -> PatchBatches:
        return PatchBatches(self.training, self.config.training, rank)

    def loss(self, network: torch.nn.Module, batch: Batch) -> torch.Tensor:
        images, labels = batch
        weight = self.config.training.cross_entropy_weight
        criterion = DiceCELoss(to_onehot_y=True, softmax=True, batch=True, lambda_ce=weight)
        loss: torch.Tensor = criterion(
            network(images.contiguous(memory_format=torch.channels_last_3d)), labels
        )
        return loss

    def validate(self, fabric: Fabric, network: torch.nn.Module) -> Row:
        config = self.config
        described = ModelDescription.checked(config.description(), config.name)
        model = described.wrap(network, Path(config.name), fabric.device)
        model = with_precision(model, config.training.precision)
        dice = evaluate(
            lambda image: predict(model, image).labels, self.validation, config.class_names
        ).mean()
        return {
            "dice": float(dice.drop(index=config.class_names[0]).mean()),
            **{str(name): float(value) for name, value in dice.items()},
        }

    def save(self, folder: Path, network: torch.nn.Module) -> None:
        save_model(folder / "model", self.config.description(), network)
