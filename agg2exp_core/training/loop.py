"""The training loop: resumable to the bit, on one device or several, whatever is learnt."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from lightning_fabric import Fabric

from agg2exp_core.errors import UsageError
from agg2exp_core.training.config import NetworkConfig, TrainingSchedule
from agg2exp_core.training.curves import Panel, write_curves
from agg2exp_core.training.networks import keep_small_convolutions
from agg2exp_core.training.sampling import NumberedBatches, seed_of
from agg2exp_core.training.saving import load_checkpoint, save_checkpoint

C = TypeVar("C", bound=NetworkConfig)
S = TypeVar("S")

OnStep = Callable[[int, float], None]
"""Called after every update with its number, from 1, and its loss."""

Row = dict[str, float]
"""A point of the curves: ``step``, ``loss`` (mean since the one before), ``learning_rate``, and scores."""

PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed"}


@dataclass(frozen=True)
class Objective(ABC, Generic[C, S]):
    """What a network learns and what its weights are chosen by; sent to every process.

    Parameters
    ----------
    config : NetworkConfig
        The network and how it learns.
    training, validation : sequence
        Scans that it learns from, and that the best weights are chosen by.
    """

    config: C
    training: Sequence[S]
    validation: Sequence[S]

    @property
    @abstractmethod
    def panel(self) -> Panel:
        """What the curves show beside the loss."""

    @abstractmethod
    def build(self) -> torch.nn.Module:
        """Return the network with its first weights."""

    @abstractmethod
    def batches(self, rank: int) -> NumberedBatches[S, Any]:
        """Return the batches of a process."""

    @abstractmethod
    def loss(self, network: torch.nn.Module, batch: Any) -> torch.Tensor:
        """Return the loss of a batch on the network's device."""

    @abstractmethod
    def validate(self, fabric: Fabric, network: torch.nn.Module) -> Row:
        """Return the scores of the weights as they are."""

    @abstractmethod
    def save(self, folder: Path, network: torch.nn.Module) -> None:
        """Write what the training is for."""


def quality(row: Row) -> float:
    """Return by how much the weights of a row are worth keeping: a segmenter's Dice, an encoder's loss."""
    return row["dice"] if "dice" in row else -row["validation_loss"]


def run_training(
    objective: Objective[Any, Any], folder: Path, *, device: str, n_devices: int, on_step: OnStep | None
) -> list[Row]:
    """Train a network, or go on where its training was interrupted; return its curves.

    Parameters
    ----------
    objective : Objective
        What it learns.
    folder : Path
        Gets ``checkpoint.pt``, ``curves.csv``, ``curves.png`` and what the objective saves.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    n_devices : int
        How many; the gradients are averaged over them.
    on_step : callable, optional
        See `OnStep`; called in the first process.

    Raises
    ------
    UsageError
        If the folder holds a training with other settings, or the loss is no number any more.
    """
    fabric = Fabric(
        accelerator=device,
        devices=n_devices,
        strategy="ddp_spawn" if n_devices > 1 else "auto",
        precision=PRECISIONS[objective.config.training.precision],  # type: ignore[arg-type]
    )
    with torch.random.fork_rng(devices=[]):
        rows: list[Row] = fabric.launch(partial(_fit, objective=objective, folder=folder, on_step=on_step))
    return rows


def _fit(fabric: Fabric, objective: Objective[Any, Any], folder: Path, on_step: OnStep | None) -> list[Row]:
    schedule = objective.config.training
    identity = f"{objective.config.identity} {fabric.world_size}"
    network = objective.build().to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay
    )
    rates = torch.optim.lr_scheduler.LambdaLR(optimiser, partial(_rate, schedule))
    parts: dict[str, Any] = {"network": network, "optimiser": optimiser, "schedule": rates}
    state: dict[str, Any] = {"step": 0, "loss_sum": 0.0, "n_losses": 0, "rows": []}
    if schedule.precision != "float32":
        keep_small_convolutions(network)
    wrapped, fabric_optimiser = fabric.setup(network, optimiser)
    saved = load_checkpoint(folder, identity)
    if saved is not None:
        state = saved["state"]
        for name, part in parts.items():
            part.load_state_dict(saved[name])
    batches = objective.batches(fabric.global_rank)
    network.train()
    for step in range(state["step"] + 1, schedule.n_steps + 1):
        loss_of_step = 0.0
        for i in range(schedule.accumulate):
            number = (step - 1) * schedule.accumulate + i
            batch = fabric.to_device(batches[number])
            more = i + 1 < schedule.accumulate
            with fabric.no_backward_sync(wrapped) if more else nullcontext():
                torch.manual_seed(seed_of(schedule.seed, fabric.global_rank, number))  # for dropout
                loss = objective.loss(wrapped, batch) / schedule.accumulate
                fabric.backward(loss)
            loss_of_step += float(loss.detach())
        if not math.isfinite(loss_of_step):
            raise UsageError(
                objective.config.name,
                got=f"a loss that is no number at update {step}",
                allowed="a training that converges",
                remedy="lower learning_rate, set gradient_norm, or train in float32, in another folder",
            )
        if schedule.gradient_norm is not None:
            fabric.clip_gradients(
                wrapped, fabric_optimiser, max_norm=schedule.gradient_norm, error_if_nonfinite=False
            )
        fabric_optimiser.step()
        fabric_optimiser.zero_grad(set_to_none=True)
        rates.step()
        state["step"] = step
        state["loss_sum"] += loss_of_step
        state["n_losses"] += 1
        last = step == schedule.n_steps
        if not fabric.is_global_zero:
            continue
        if step % schedule.validate_every == 0 or last:
            if _validate(fabric, objective, network, state, float(rates.get_last_lr()[0])):
                objective.save(folder, network)
            write_curves(folder, state["rows"], objective.panel)
        if step % schedule.save_every == 0 or last:
            values = {name: part.state_dict() for name, part in parts.items()}
            save_checkpoint(folder, {"identity": identity, "state": state, **values})
        if on_step is not None:
            on_step(step, loss_of_step)
    fabric.barrier()
    rows: list[Row] = state["rows"]
    return rows


def _validate(
    fabric: Fabric,
    objective: Objective[Any, Any],
    network: torch.nn.Module,
    state: dict[str, Any],
    rate: float,
) -> bool:
    """Add the scores of the weights as they are to the curves; say whether they are the best so far."""
    scores = objective.validate(fabric, network)
    network.train()
    loss = state["loss_sum"] / state["n_losses"]
    row = {"step": state["step"], "loss": loss, "learning_rate": rate, **scores}
    best = max(map(quality, state["rows"]), default=-math.inf)
    state["rows"].append(row)
    state["loss_sum"], state["n_losses"] = 0.0, 0
    return quality(row) > best


def _rate(schedule: TrainingSchedule, step: int) -> float:
    """Return the learning rate after `step` updates, relative to its highest."""
    if step < schedule.warm_up:
        return (step + 1) / (schedule.warm_up + 1)
    share = (step - schedule.warm_up) / max(1, schedule.n_steps - schedule.warm_up)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
