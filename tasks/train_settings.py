"""What is trained or compared: plain data, checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class CompareSettings:
    """Models and what they are scored on.

    Parameters
    ----------
    models : mapping of str to str
        References for `agg2exp_core.models.load_model` by the names that tables give them.
    class_names : tuple of str
        The classes that they share, background first.
    out : str
        Folder of the results.
    config : str, optional
        The configuration whose test scans are used.
    tree : str, optional
        In its place a tree like TotalSegmentator's, whose test scans are used.
    device : str
        Of the models.
    """

    models: Mapping[str, str]
    class_names: tuple[str, ...]
    out: str
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
    return CompareSettings(named, classes, out, config, tree, device)


def _same_images(model: SegmentationModel, config: TrainingConfig) -> bool:
    """Say whether the images and labels of a configuration are those of a model."""
    wanted = config.preprocessing.build()
    same = dict(model.preprocessing.describe()) == dict(wanted.describe())
    return same and model.class_names == config.class_names
