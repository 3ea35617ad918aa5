"""What users choose of a training, a pre-training and a comparison of models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from agg2exp_core.errors import out_of_range
from agg2exp_core.settings import Flag, Place, Positive, Settings
from agg2exp_core.training.config import NetworkConfig, PretrainingConfig, TrainingConfig


class FitSettings(Settings):
    """What is learnt, and where."""

    config: NetworkConfig
    """What: the network, its data, its schedule."""
    out: Annotated[str, Place()]
    """Folder of what comes out, its curves and checkpoint."""
    device: str = "auto"
    """auto, cpu or cuda."""
    n_devices: Annotated[Positive, Flag("--devices")] = 1
    """How many devices share the work."""


class TrainSettings(FitSettings):
    """What is trained, and where."""

    config: TrainingConfig
    """What: the network, its data, its schedule."""


class PretrainSettings(FitSettings):
    """What is pre-trained, and where."""

    config: PretrainingConfig
    """What: the encoder, its data, its schedule."""


def with_weights(settings: TrainSettings, cross_entropy_weights: Sequence[float]) -> list[TrainSettings]:
    """Return a training for each weight of the cross-entropy; of several each has a folder of its own.

    Raises
    ------
    UsageError
        If a weight is negative.
    """
    if any(weight < 0 for weight in cross_entropy_weights):
        raise out_of_range("--cross-entropy-weight", f"{min(cross_entropy_weights):g}", "0 or more")
    runs = []
    for weight in cross_entropy_weights:
        told = settings.config.training.model_copy(update={"cross_entropy_weight": weight})
        folder = Path(settings.out)
        out = folder if len(cross_entropy_weights) == 1 else folder / f"lambda_{weight:g}"
        config = settings.config.model_copy(update={"training": told})
        runs.append(settings.model_copy(update={"config": config, "out": str(out)}))
    return runs or [settings]


class CompareSettings(Settings):
    """Models and what they are scored on."""

    models: dict[str, str]
    """References of the models by the names that tables give them."""
    out: Annotated[str, Place()]
    """Folder of the table, its tests and the figure."""
    class_names: list[str] | None = None
    """The classes that they share, background first; of overlapping masks the later class counts. By default
    in the order of each model."""
    config: Annotated[str | None, Place(or_name=True)] = None
    """Score on the test scans of this configuration."""
    tree: Annotated[str | None, Place()] = None
    """Score on the test scans of a tree like TotalSegmentator's."""
    device: str = "auto"
    """auto, cpu, or a GPU such as cuda:0."""
