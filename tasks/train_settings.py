"""What is trained or compared: plain data, checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agg2exp_core.datasets import find_cases
from agg2exp_core.errors import UsageError
from agg2exp_core.models import load_model
from agg2exp_core.training import Example, TrainingConfig, examples_of, read_config
from agg2exp_core.training.config import TreeData
from agg2exp_core.training.examples import TreeExamples
from agg2exp_core.volumes import CTPreprocessing


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
        If there are fewer than two, two have one name, their classes or voxels are not those of the scans
        or of each other, or it is not said which scans.
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
    classes, preprocessing, whose = first.class_names, first.preprocessing, first.name
    if config is not None:
        told = read_config(config)
        classes, preprocessing, whose = told.class_names, told.preprocessing.build(), told.name
    for ref, model in models.items():
        fits = model.class_names == classes and dict(model.preprocessing.describe()) == dict(
            preprocessing.describe()
        )
        if not fits or not isinstance(model.preprocessing, CTPreprocessing):
            raise UsageError(
                ref,
                got=f"{model.name} with other classes or preprocessing",
                allowed=f"those of {whose}, with preprocessing of the kind ct",
                remedy="name models that were made for the same scans",
            )
    return CompareSettings(named, out, config, tree, device)


def scans_of(settings: CompareSettings) -> tuple[Sequence[Example], CTPreprocessing]:
    """Return the scans that models are scored on, and how they were preprocessed."""
    cache = Path(settings.out) / "cache"
    if settings.config is not None:
        config = read_config(settings.config)
        return examples_of(config, "test", cache), config.preprocessing.build()
    assert settings.tree is not None
    model = load_model(next(iter(settings.models.values())), settings.device)
    assert isinstance(model.preprocessing, CTPreprocessing)
    tree = TreeData(folder=Path(settings.tree), complete=False)
    return TreeExamples(tree, "test", model.preprocessing, model.class_names, cache), model.preprocessing
