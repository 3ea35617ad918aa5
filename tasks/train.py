"""Train one network; its curves are artifacts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from prefect import task

from agg2exp_core.training import examples_of, train
from tasks.curves import show_curves
from tasks.progress import reporting
from tasks.retrying import RETRYING
from tasks.train_settings import TrainSettings


@dataclass(frozen=True)
class Trained:
    """A finished training: its folder, its best validation Dice, and the updates until then."""

    out: str
    dice: float
    step: int


@task(name="fit", task_run_name="fit {settings.config.name}", **RETRYING)
def fit(settings: TrainSettings) -> Trained:
    """Train, or go on with what was interrupted; show the curves in the UI."""
    config, out = settings.config, Path(settings.out)
    n_steps = config.training.n_steps
    with reporting(config.name, "training") as report:
        on_step = (lambda step, loss: report(step, n_steps)) if settings.n_devices == 1 else None
        rows = train(
            config,
            examples_of(config, "training", out / "cache"),
            examples_of(config, "validation", out / "cache"),
            out,
            device=settings.device,
            n_devices=settings.n_devices,
            on_step=on_step,
        )
    best = max(rows, key=lambda row: row["dice"])
    outcome = f"Best mean Dice on validation {best['dice']:.3f} after {best['step']} updates."
    show_curves(config.name, rows, out, outcome)
    return Trained(settings.out, best["dice"], int(best["step"]))
