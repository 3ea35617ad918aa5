"""Pre-train one encoder; its curves are artifacts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from prefect import task

from agg2exp_core.training import images_of, pretrain
from tasks.curves import show_curves
from tasks.pretrain_settings import PretrainSettings
from tasks.progress import reporting
from tasks.retrying import RETRYING


@dataclass(frozen=True)
class Pretrained:
    """A finished pre-training: the encoder's file and its scores on validation."""

    encoder: str
    loss: float
    rotation_accuracy: float
    step: int


@task(name="pretrain-encoder", task_run_name="pretrain {settings.config.name}", **RETRYING)
def pretrain_encoder(settings: PretrainSettings) -> Pretrained:
    """Pre-train, or go on with what was interrupted; show the curves in the UI."""
    config, out = settings.config, Path(settings.out)
    n_steps = config.training.n_steps
    with reporting(config.name, "pre-training") as report:
        on_step = (lambda step, loss: report(step, n_steps)) if settings.n_devices == 1 else None
        rows = pretrain(
            config,
            images_of(config, "training", out / "cache"),
            images_of(config, "validation", out / "cache"),
            out,
            device=settings.device,
            n_devices=settings.n_devices,
            on_step=on_step,
        )
    best = min(rows, key=lambda row: row["validation_loss"])
    loss, accuracy, step = best["validation_loss"], best["rotation_accuracy"], int(best["step"])
    outcome = (
        f"Lowest loss on validation {loss:.3f} after {step} updates; {accuracy:.0%} of the turns are told."
    )
    show_curves(config.name, rows, out, outcome)
    return Pretrained(str(out / config.encoder_file), loss, accuracy, step)
