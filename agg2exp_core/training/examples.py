"""What a network learns from: preprocessed scans, with their truth or without."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, Literal, TypeVar, overload

import numpy as np
import torch
from monai.data.dataset import PersistentDataset
from monai.transforms.transform import Transform

from agg2exp_core.datasets import Case, absent_classes, find_cases, merge_labels, read_datalist
from agg2exp_core.errors import Agg2ExpError, UsageError
from agg2exp_core.phantom import Phantom, make_phantom
from agg2exp_core.training.config import PhantomData, PretrainingConfig, TrainingConfig, TreeScans
from agg2exp_core.types import Grid, Preprocessing, Volume
from agg2exp_core.volumes import CTPreprocessing, content_hash, preprocess, read_nifti, resample

T = TypeVar("T")
Split = Literal["training", "validation", "test"]


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


Tensors = dict[str, torch.Tensor]


class _Prepared(Transform):  # type: ignore[misc]
    """Of what is no transform of MONAI's nothing is kept."""

    def __init__(self, prepare: Callable[[str], Tensors]) -> None:
        self._prepare = prepare

    def __call__(self, item: Mapping[str, str]) -> Tensors:
        return self._prepare(item["scan"])


class PreparedScans(Sequence[T], Generic[T]):
    """Scans in files, each read and preprocessed when it is first asked for.

    Parameters
    ----------
    scans : sequence of str
        Their names, by which errors tell them apart.
    described : object
        What of their preparation decides the result, JSON-ready: with the name, the key in the cache.
    prepare : callable
        Tensors by name from the name of a scan.
    finish : callable
        What is asked for, from the name and the tensors.
    cache : Path
        Folder that keeps the tensors.
    """

    def __init__(
        self,
        scans: Sequence[str],
        described: object,
        prepare: Callable[[str], Tensors],
        finish: Callable[[str, Tensors], T],
        cache: Path,
    ) -> None:
        text = json.dumps(described, default=str)
        self._scans, self._finish = scans, finish
        items = [{"scan": scan, "as": text} for scan in scans]
        self._stored = PersistentDataset(items, _Prepared(prepare), cache)

    def __len__(self) -> int:
        return len(self._scans)

    @overload
    def __getitem__(self, number: int) -> T: ...
    @overload
    def __getitem__(self, number: slice) -> list[T]: ...
    def __getitem__(self, number: int | slice) -> T | list[T]:
        """Return a scan."""
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        try:
            return self._finish(self._scans[number], self._stored[number])
        except RuntimeError as error:  # MONAI's, around what the scan is refused for
            cause = error.__cause__
            raise cause.at(self._scans[number]) if isinstance(cause, Agg2ExpError) else error from None


def examples_of(config: TrainingConfig, split: Split, cache: str | Path) -> Sequence[Example]:
    """Return the scans of a split of a configuration's data with their labels, preprocessed.

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
        If no scan is in the split.
    """
    data, preprocessing, class_names = config.data, config.preprocessing.build(), config.class_names
    if isinstance(data, PhantomData):
        return _phantoms(data, split, preprocessing)
    cases = {case.scan_id: case for case in find_cases(data.folder) if case.split == split}
    if data.complete:
        cases = {scan_id: case for scan_id, case in cases.items() if _is_complete(case, class_names)}
    if not cases:
        raise no_scan(data.folder, split)
    described = [dict(preprocessing.describe()), list(class_names)]
    prepare = partial(_with_labels, cases, preprocessing, class_names)
    return PreparedScans(list(cases), described, prepare, _example, Path(cache))


def images_of(config: PretrainingConfig, split: Split, cache: str | Path) -> Sequence[torch.Tensor]:
    """Return the scans of a split as `examples_of` does, without labels: each ``[C, X, Y, Z]``, float32."""
    data, preprocessing = config.data, config.preprocessing.build()
    if isinstance(data, PhantomData):
        return [example.image for example in _phantoms(data, split, preprocessing)]
    if isinstance(data, TreeScans):
        where, files = data.folder, [case.image for case in find_cases(data.folder) if case.split == split]
    else:
        where, files = data.file, [entry["image"] for entry in read_datalist(data.file, split)]
    if not files:
        raise no_scan(where, split)
    described, prepare = dict(preprocessing.describe()), partial(_image_alone, preprocessing)
    return PreparedScans([str(file) for file in files], described, prepare, _image, Path(cache))


def _phantoms(data: PhantomData, split: Split, preprocessing: CTPreprocessing) -> list[Example]:
    wanted = getattr(data, split)
    if wanted is None:
        raise no_scan(f"data.{split}", split)
    return phantom_examples(wanted.seeds, preprocessing)


def _is_complete(case: Case, class_names: Sequence[str]) -> bool:
    return not absent_classes(merge_labels(case, class_names)[0], class_names)


def _with_labels(
    cases: Mapping[str, Case], preprocessing: CTPreprocessing, class_names: Sequence[str], scan_id: str
) -> Tensors:
    """Return image and labels on the network's grid."""
    case = cases[scan_id]
    image, affine, _ = preprocess(read_nifti(case.image), preprocessing)
    labels, grid = merge_labels(case, class_names)
    x, y, z = (int(n) for n in image.shape[1:])
    onto = resample(labels, grid, Grid((x, y, z), affine), interpolation="nearest")
    return {"image": image, "labels": torch.from_numpy(onto.astype(np.uint8))}


def _example(scan_id: str, stored: Tensors) -> Example:
    return Example(scan_id, stored["image"], stored["labels"].long())


def _image_alone(preprocessing: CTPreprocessing, file: str) -> Tensors:
    return {"image": preprocess(read_nifti(Path(file)), preprocessing)[0]}


def _image(file: str, stored: Tensors) -> torch.Tensor:
    return stored["image"]


def no_scan(where: object, split: str) -> UsageError:
    """Return the error for data without a scan in a split."""
    return UsageError(
        where,
        got=f"no scan in the split {split}",
        allowed="scans of each split, by meta.csv, a datalist or the configuration",
        remedy="correct it (or set complete: false)",
    )
