"""A training or a pre-training as settings ask for it: read the scans, train, say what came out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from agg2exp_core.training.config import TrainingConfig
from agg2exp_core.training.examples import examples_of, images_of
from agg2exp_core.training.loop import OnStep, Row, quality
from agg2exp_core.training.pretraining import pretrain
from agg2exp_core.training.segmentation import train
from agg2exp_core.training.settings import PretrainSettings, TrainSettings


@dataclass(frozen=True)
class TrainingResult:
    """What a finished training came to.

    Parameters
    ----------
    path : str
        The folder of the model, or the file of the encoder.
    rows : list of dict
        The curves.
    best : dict
        The row whose weights were kept, with their scores.
    summary : str
        The same for people.
    """

    path: str
    rows: list[Row]
    best: Row
    summary: str


def fit_network(settings: TrainSettings | PretrainSettings, on_step: OnStep | None = None) -> TrainingResult:
    """Train, or go on with what was interrupted, until the schedule is done.

    Parameters
    ----------
    settings : TrainSettings or PretrainSettings
        What, and where.
    on_step : callable, optional
        See `OnStep`; not called where several devices share the work.

    Raises
    ------
    Agg2ExpError
        If a scan cannot be used, the folder holds another training, or the loss is no number any more.
    """
    config, out = settings.config, Path(settings.out)
    on_step = on_step if settings.n_devices == 1 else None
    options: dict[str, Any] = {"device": settings.device, "n_devices": settings.n_devices, "on_step": on_step}
    if isinstance(config, TrainingConfig):
        scans = partial(examples_of, config, cache=out / "cache")
        rows = train(config, scans("training"), scans("validation"), out, **options)
        path, said = out / "model", "Best mean Dice on validation {dice:.3f} after {step} updates."
    else:
        images = partial(images_of, config, cache=out / "cache")
        rows = pretrain(config, images("training"), images("validation"), out, **options)
        path = out / config.encoder_file
        said = "Lowest loss on validation {validation_loss:.3f} after {step} updates; "
        said += "{rotation_accuracy:.0%} of the turns are told."
    best = max(rows, key=quality)
    return TrainingResult(str(path), rows, best, said.format(**best))
