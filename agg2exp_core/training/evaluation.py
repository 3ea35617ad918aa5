"""How well a model segments scans with a known truth."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from monai.metrics.surface_dice import compute_surface_dice
from monai.networks.utils import one_hot
from numpy.typing import NDArray

from agg2exp_core.errors import ScanError, UsageError
from agg2exp_core.training.examples import Example
from agg2exp_core.types import LabelVolume


def evaluate(
    segment: Callable[[torch.Tensor], LabelVolume], dataset: Iterable[Example], class_names: Sequence[str]
) -> pd.DataFrame:
    """Return the Dice coefficient of every class and scan.

    Parameters
    ----------
    segment : callable
        Class indices ``[X, Y, Z]`` from an image ``[C, X, Y, Z]``.
    dataset : iterable of Example
        What to compare with.
    class_names : sequence of str
        The classes in the order of their indices.

    Returns
    -------
    DataFrame
        A row per scan, a column per class; NaN where a class is neither predicted nor there.
    """
    rows = {}
    for example in dataset:
        rows[example.scan_id] = _dice(segment(example.image), example.labels.numpy(), len(class_names))
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(class_names))


def _dice(found: LabelVolume, truth: LabelVolume, n_classes: int) -> NDArray[np.float64]:
    both = np.bincount(truth[found == truth].ravel(), minlength=n_classes)
    total = sum(np.bincount(np.ravel(part), minlength=n_classes) for part in (found, truth))
    with np.errstate(invalid="ignore"):
        return np.asarray(2 * both / total, float)


def usable(dataset: Sequence[Example], on_refused: Callable[[ScanError], None]) -> Iterator[Example]:
    """Yield the scans that can be used; tell what is wrong with the others, whose place is their id."""
    for number in range(len(dataset)):
        try:
            yield dataset[number]
        except ScanError as error:
            on_refused(error)


def measure(
    segment: Callable[[torch.Tensor], LabelVolume],
    dataset: Iterable[Example],
    class_names: Sequence[str],
    spacing_mm: float,
    *,
    tolerance_mm: float | None = None,
    on_scan: Callable[[int], None] | None = None,
) -> pd.DataFrame:
    """Return Dice, IoU and surface Dice of every structure and scan.

    Parameters
    ----------
    segment, dataset, class_names
        As of `evaluate`; the first class is background and is not told.
    spacing_mm : float
        Edge length of a voxel.
    tolerance_mm : float, optional
        How far surfaces may lie apart; by default the edge of a voxel.
    on_scan : callable, optional
        Called with the number of scans done.

    Returns
    -------
    DataFrame
        Rows by ``scan`` and ``class`` with ``dice``, ``iou`` and ``surface_dice``; NaN where a class is
        neither predicted nor there.

    Raises
    ------
    UsageError
        If there is no scan.
    """
    tolerance = spacing_mm if tolerance_mm is None else tolerance_mm
    tables = []
    for number, example in enumerate(dataset, start=1):
        found = segment(example.image)
        dice = _dice(found, example.labels.numpy(), len(class_names))[1:]
        onehot = [
            one_hot(torch.as_tensor(labels)[None, None].long(), len(class_names))
            for labels in (found, example.labels)
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of classes that are nowhere
            surface = compute_surface_dice(
                *onehot, class_thresholds=[tolerance] * (len(class_names) - 1), spacing=spacing_mm
            )
        tables.append(
            pd.DataFrame(
                {
                    "scan": example.scan_id,
                    "class": class_names[1:],
                    "dice": dice,
                    "iou": dice / (2 - dice),
                    "surface_dice": surface[0].numpy(),
                }
            )
        )
        if on_scan is not None:
            on_scan(number)
    if not tables:
        raise UsageError(
            "scans", got="none that can be used", allowed="one or more", remedy="name other scans"
        )
    return pd.concat(tables, ignore_index=True)
