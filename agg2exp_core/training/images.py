"""What an encoder is pre-trained on: preprocessed scans, without labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, overload

import torch
from monai.data.dataset import PersistentDataset
from monai.transforms.transform import Transform

from agg2exp_core.datasets import find_cases, read_datalist
from agg2exp_core.errors import Agg2ExpError, UsageError
from agg2exp_core.training.config import PhantomData
from agg2exp_core.training.examples import phantom_examples
from agg2exp_core.training.pretraining_config import PretrainingConfig, TreeScans
from agg2exp_core.volumes import CTPreprocessing, read_nifti


def images_of(
    config: PretrainingConfig, split: Literal["training", "validation"], cache: str | Path
) -> Sequence[torch.Tensor]:
    """Return the scans of a split, preprocessed, each ``[C, X, Y, Z]`` float32.

    Parameters
    ----------
    config : PretrainingConfig
        Whose.
    split : {"training", "validation"}
        Which.
    cache : str or Path
        Folder for scans that are read from files.

    Raises
    ------
    UsageError
        If no scan is in the split.
    """
    data, preprocessing = config.data, config.preprocessing.build()
    if isinstance(data, PhantomData):
        return [example.image for example in phantom_examples(getattr(data, split).seeds, preprocessing)]
    if isinstance(data, TreeScans):
        files = [case.image for case in find_cases(data.folder) if case.split == split]
    else:
        files = [entry["image"] for entry in read_datalist(data.file, split)]
    if not files:
        raise UsageError(
            data.folder if isinstance(data, TreeScans) else data.file,
            got=f"no scan in the split {split}",
            allowed="scans for training and for validation",
            remedy="correct meta.csv or the datalist",
        )
    return StoredImages(files, preprocessing, Path(cache))


class StoredImages(Sequence[torch.Tensor]):
    """Scans in files, each read and preprocessed when it is first asked for.

    Parameters
    ----------
    files : sequence of Path
        NIfTI.
    preprocessing : CTPreprocessing
        Of the network.
    cache : Path
        Folder that keeps what was preprocessed.
    """

    def __init__(self, files: Sequence[Path], preprocessing: CTPreprocessing, cache: Path) -> None:
        described = json.dumps(dict(preprocessing.describe()), default=str)
        items = [{"scan": str(file), "as": described} for file in files]
        self._stored = PersistentDataset(items, _Prepared(preprocessing), cache)

    def __len__(self) -> int:
        return len(self._stored)

    @overload
    def __getitem__(self, number: int) -> torch.Tensor: ...
    @overload
    def __getitem__(self, number: slice) -> list[torch.Tensor]: ...
    def __getitem__(self, number: int | slice) -> torch.Tensor | list[torch.Tensor]:
        """Return a scan."""
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        try:
            image: torch.Tensor = self._stored[number]["image"]
        except RuntimeError as error:  # MONAI's, around what the scan is refused for
            raise error.__cause__ if isinstance(error.__cause__, Agg2ExpError) else error from None
        return image


class _Prepared(Transform):  # type: ignore[misc]
    """From a scan's file to its image on the network's grid."""

    def __init__(self, preprocessing: CTPreprocessing) -> None:
        self._preprocessing = preprocessing

    def __call__(self, item: dict[str, str]) -> dict[str, torch.Tensor]:
        return {"image": self._preprocessing(read_nifti(Path(item["scan"])))[0]}
