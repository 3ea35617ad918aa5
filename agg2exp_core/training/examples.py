"""What a network learns from: preprocessed scans with their truth."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, overload

import numpy as np
import torch
from monai.data.dataset import PersistentDataset
from monai.transforms.transform import Transform

from agg2exp_core.datasets import Case, find_cases, merge_labels, missing_classes
from agg2exp_core.errors import Agg2ExpError, UsageError
from agg2exp_core.phantom import Phantom, make_phantom
from agg2exp_core.training.config import TrainingConfig, TreeData
from agg2exp_core.types import Grid, Preprocessing, Volume
from agg2exp_core.volumes import CTPreprocessing, content_hash, read_nifti, resample


@dataclass(frozen=True, eq=False)
class Example:
    """A preprocessed scan with its truth.

    Parameters
    ----------
    scan_id : str
        For tables.
    image : torch.Tensor, shape [C, X, Y, Z]
        Preprocessed intensities, float32.
    labels : torch.Tensor, shape [X, Y, Z]
        Class indices, int64.
    """

    scan_id: str
    image: torch.Tensor
    labels: torch.Tensor


def phantom_example(scan_id: str, phantom: Phantom, preprocessing: Preprocessing) -> Example:
    """Preprocess a phantom that was made at the spacing of `preprocessing`.

    Raises
    ------
    UsageError
        If preprocessing moves the image off the grid of the labels.
    """
    values = phantom.hu.astype(np.float32)
    volume = Volume(values, phantom.grid, content_hash(values, phantom.grid), scan_id)
    image, _ = preprocessing(volume)
    if tuple(image.shape[1:]) != phantom.grid.shape:
        raise UsageError(
            "phantom",
            got=f"an image of {list(image.shape[1:])} for labels of {list(phantom.grid.shape)}",
            allowed="a phantom made at the spacing of the preprocessing",
            remedy="pass that spacing_mm to make_phantom",
        )
    return Example(scan_id, image, torch.from_numpy(phantom.labels.astype(np.int64)))


def phantom_examples(seeds: Iterable[int], preprocessing: CTPreprocessing) -> list[Example]:
    """Return the phantoms of `seeds`, made at the spacing of `preprocessing` and preprocessed."""
    return [
        phantom_example(f"seed {seed}", make_phantom(seed, preprocessing.spacing_mm), preprocessing)
        for seed in seeds
    ]


class TreeExamples(Sequence[Example]):
    """The scans of a split of a tree, each read and preprocessed when it is first asked for.

    Parameters
    ----------
    data : TreeData
        The tree.
    split : str
        ``training``, ``validation`` or ``test``.
    preprocessing : CTPreprocessing
        Of the network.
    class_names : sequence of str
        The classes by index.
    cache : Path
        Folder that keeps what was preprocessed.

    Raises
    ------
    UsageError
        If no scan of the tree is in the split.
    """

    def __init__(
        self,
        data: TreeData,
        split: str,
        preprocessing: CTPreprocessing,
        class_names: Sequence[str],
        cache: Path,
    ) -> None:
        cases = [case for case in find_cases(data.folder) if case.split == split]
        if data.complete:
            cases = [c for c in cases if not missing_classes(merge_labels(c, class_names)[0], class_names)]
        if not cases:
            raise UsageError(
                data.folder,
                got=f"no scan in the split {split}",
                allowed="a tree whose meta.csv names train, val and test scans with all classes",
                remedy="correct meta.csv, or set complete: false",
            )
        self._scan_ids = [case.scan_id for case in cases]
        described = json.dumps([dict(preprocessing.describe()), list(class_names)], default=str)
        items = [{"scan": case.scan_id, "as": described} for case in cases]
        prepared = _Prepared({case.scan_id: case for case in cases}, preprocessing, class_names)
        self._stored = PersistentDataset(items, prepared, cache)

    def __len__(self) -> int:
        return len(self._scan_ids)

    @overload
    def __getitem__(self, number: int) -> Example: ...
    @overload
    def __getitem__(self, number: slice) -> list[Example]: ...
    def __getitem__(self, number: int | slice) -> Example | list[Example]:
        """Return a scan."""
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        try:
            stored = self._stored[number]
        except RuntimeError as error:  # MONAI's, around what the scan is refused for
            cause = error.__cause__
            raise cause.at(self._scan_ids[number]) if isinstance(cause, Agg2ExpError) else error from None
        return Example(self._scan_ids[number], stored["image"], stored["labels"].long())


class _Prepared(Transform):  # type: ignore[misc]
    """From a scan's id to its image and labels on the network's grid."""

    def __init__(
        self, cases: Mapping[str, Case], preprocessing: CTPreprocessing, class_names: Sequence[str]
    ) -> None:
        self._cases, self._preprocessing, self._class_names = cases, preprocessing, class_names

    def __call__(self, item: Mapping[str, str]) -> dict[str, torch.Tensor]:
        case = self._cases[item["scan"]]
        image, affine = self._preprocessing(read_nifti(case.image))
        labels, grid = merge_labels(case, self._class_names)
        x, y, z = (int(n) for n in image.shape[1:])
        onto = resample(labels, grid, Grid((x, y, z), affine), interpolation="nearest")
        return {"image": image, "labels": torch.from_numpy(onto.astype(np.uint8))}


def examples_of(
    config: TrainingConfig, split: Literal["training", "validation", "test"], cache: str | Path
) -> Sequence[Example]:
    """Return the scans of a split of a configuration's data, preprocessed.

    Parameters
    ----------
    config : TrainingConfig
        Whose.
    split : {"training", "validation", "test"}
        Which.
    cache : str or Path
        Folder for scans that are read from files.

    Raises
    ------
    UsageError
        If the configuration has no such split.
    """
    preprocessing = config.preprocessing.build()
    if isinstance(config.data, TreeData):
        return TreeExamples(config.data, split, preprocessing, config.class_names, Path(cache))
    wanted = getattr(config.data, split)
    if wanted is None:
        raise UsageError(
            f"data.{split}",
            got="nothing",
            allowed="a split of the data",
            remedy="add it to the configuration",
        )
    return phantom_examples(wanted.seeds, preprocessing)
