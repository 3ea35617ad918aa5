"""What is trained or compared: plain data, checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agg2exp_core.datasets import find_cases
from agg2exp_core.errors import UsageError
from agg2exp_core.models import load_model
from agg2exp_core.training import TrainingConfig, read_config
from agg2exp_core.types import SegmentationModel


@dataclass(frozen=True)
class TrainSettings:
    """What is trained, and where.

    Parameters
    ----------
    config : TrainingConfig
        What.
    out : str
        Folder of the checkpoint, the curves and the model.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    n_devices : int
        How many of them.
    """

    config: TrainingConfig
    out: str
    device: str = "auto"
    n_devices: int = 1


def with_weights(settings: TrainSettings, cross_entropy_weights: Sequence[float]) -> list[TrainSettings]:
    """Return a training for each weight of the cross-entropy; of several each has a folder of its own.

    Raises
    ------
    UsageError
        If a weight is negative.
    """
    if any(weight < 0 for weight in cross_entropy_weights):
        raise UsageError(
            "--cross-entropy-weight",
            got=f"{min(cross_entropy_weights):g}",
            allowed="0 or more",
            remedy="try 0.5 and 1",
        )
    runs = []
    for weight in cross_entropy_weights:
        told = settings.config.training.model_copy(update={"cross_entropy_weight": weight})
        folder = Path(settings.out)
        out = folder if len(cross_entropy_weights) == 1 else folder / f"lambda_{weight:g}"
        config = settings.config.model_copy(update={"training": told})
        runs.append(replace(settings, config=config, out=str(out)))
    return runs or [settings]


@dataclass(frozen=True)
class CompareSettings:
    """Models and what they are scored on.

    Parameters
    ----------
    models : mapping of str to str
        References for `agg2exp_core.models.load_model` by the names that tables give them.
    out : str
        Folder of the results.
    class_names : tuple of str, optional
        The classes that they share, background first; of overlapping masks the later class counts. By default
        in the order of each model.
    config : str, optional
        The configuration whose test scans are used.
    tree : str, optional
        In its place a tree like TotalSegmentator's, whose test scans are used.
    device : str
        Of the models.
    """

    models: Mapping[str, str]
    out: str
    class_names: tuple[str, ...] | None = None
    config: str | None = None
    tree: str | None = None
    device: str = "auto"


def comparison(
    refs: Sequence[str], out: str, config: str | None = None, tree: str | None = None, device: str = "auto"
) -> CompareSettings:
    """Return the settings of a comparison when the models can be compared.

    Raises
    ------
    UsageError
        If there are fewer than two, two have one name, their classes are not those of each other or of the
        configuration, its preprocessing is not theirs, or it is not said which scans.
    """
    if (config is None) == (tree is None):
        raise UsageError(
            "--config, --tree",
            got="both" if config else "neither",
            allowed="one of them: the test scans of a configuration, or of a tree",
            remedy="name one",
        )
    if tree is not None:
        find_cases(tree)
    models = {ref: load_model(ref, device) for ref in refs}
    named = {model.name: ref for ref, model in models.items()}
    if len(named) < max(2, len(refs)):
        raise UsageError(
            "models",
            got=f"the names {', '.join(named)}",
            allowed="two models or more with different names",
            remedy="name others, or change `name` in their model.yaml",
        )
    first = next(iter(models.values()))
    told = None if config is None else read_config(config)
    classes, whose = (first.class_names, first.name) if told is None else (told.class_names, told.name)
    for ref, model in models.items():
        if sorted(model.class_names) != sorted(classes):
            raise UsageError(
                ref,
                got=f"{model.name} with other classes",
                allowed=f"those of {whose}: {', '.join(classes)}",
                remedy="name models that segment the same",
            )
        if told is not None and not _same_images(model, told):
            raise UsageError(
                ref,
                got=f"{model.name} with other preprocessing or another order of classes",
                allowed=f"those of {whose}",
                remedy="score on the scans of a --tree, which any model preprocesses in its own way",
            )
    return CompareSettings(named, out, classes, config, tree, device)


def _same_images(model: SegmentationModel, config: TrainingConfig) -> bool:
    """Say whether the images and labels of a configuration are those of a model."""
    wanted = config.preprocessing.build()
    same = dict(model.preprocessing.describe()) == dict(wanted.describe())
    return same and model.class_names == config.class_names
