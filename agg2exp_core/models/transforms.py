"""MONAI transforms that a configuration describes become a model's preprocessing."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from monai.transforms import Compose

from agg2exp_core.errors import ModelError
from agg2exp_core.models.trust import check_trust
from agg2exp_core.volumes import MonaiPreprocessing

_READERS = ("LoadImage", "LoadImaged", "EnsureChannelFirst", "EnsureChannelFirstd")


def described_transforms(path: Path, transforms: list[dict[str, Any]]) -> MonaiPreprocessing:
    """Return the preprocessing of a list of transforms as MONAI's configurations write them.

    Parameters
    ----------
    path : Path
        The description that holds them.
    transforms : list of mappings
        Each with ``_target_`` and its arguments; dictionary transforms of the key ``image``.

    Raises
    ------
    ModelError
        If they run code of their own without trust, fail, or are not for a scan alone.
    """
    steps = {"_target_": "monai.transforms.Compose", "transforms": transforms}
    parser = ConfigParser({"preprocessing": without_readers(steps)})
    check_trust(path, parser.config, ("preprocessing",))
    return preprocessing_of(parser, path, {"transforms": transforms})


def preprocessing_of(
    parser: ConfigParser, where: Path, described: Mapping[str, Any], modality: str = ""
) -> MonaiPreprocessing:
    """Return what the part ``preprocessing`` of a trusted configuration makes, for scans of a modality."""
    transforms = parsed(parser, "preprocessing", where)
    steps = list(transforms.transforms) if isinstance(transforms, Compose) else [transforms]
    strange = [step for step in steps if not callable(step)]
    if strange:
        raise ModelError(
            where,
            got=f"{strange[0]!r} in place of a transform",
            allowed="transforms, each with its _target_",
            remedy="correct the preprocessing",
        )
    return MonaiPreprocessing(steps, described, modality)


def parsed(parser: ConfigParser, key: str, where: Path) -> Any:
    """Return what a part of a trusted configuration makes.

    Raises
    ------
    ModelError
        If making it fails.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MONAI announces changes of its defaults
            return parser.get_parsed_content(key)
    except Exception as error:  # expressions raise whatever they like
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise ModelError(
            where,
            got=f"{key!r} that fails ({' '.join(str(cause).split())[:200]})",
            allowed="a configuration that runs in MONAI",
            remedy="correct it, or use another model",
        ) from error


def without_readers(preprocessing: Any) -> Any:
    """Leave out what reads the file: the scan comes read, and the readers ask for codecs."""
    if isinstance(preprocessing, Mapping) and isinstance(preprocessing.get("transforms"), list):
        kept = [step for step in preprocessing["transforms"] if not _reads(step)]
        return {**preprocessing, "transforms": kept}
    return preprocessing


def _reads(step: Any) -> bool:
    target = str(step.get("_target_", "")) if isinstance(step, Mapping) else ""
    return target.rpartition(".")[2] in _READERS
