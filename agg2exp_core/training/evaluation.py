"""How well a model segments scans with a known truth."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from monai.metrics.surface_dice import compute_surface_dice
from monai.networks.utils import one_hot

from agg2exp_core.errors import UsageError
from agg2exp_core.quality import dice_of
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
        rows[example.scan_id] = dice_of(segment(example.image), example.labels.numpy(), len(class_names))
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(class_names))


@dataclass(frozen=True, eq=False)
class SegmentedScan:
    """A segmented scan with its truth.

    Parameters
    ----------
    scan_id : str
        For tables.
    found, truth : ndarray of integers, shape [X, Y, Z]
        Class indices, on one grid.
    spacing_mm : (float, float, float)
        Edges of a voxel of that grid.
    """

    scan_id: str
    found: LabelVolume
    truth: LabelVolume
    spacing_mm: tuple[float, float, float]


def score_scans(
    scans: Iterable[SegmentedScan], class_names: Sequence[str], *, tolerance_mm: float | None = None
) -> pd.DataFrame:
    """Return Dice, IoU and surface Dice of every structure and scan.

    Parameters
    ----------
    scans : iterable of SegmentedScan
        What is scored.
    class_names : sequence of str
        The classes in the order of their indices; the first one is background and is not told.
    tolerance_mm : float, optional
        How far surfaces may lie apart; by default the longest edge of a voxel.

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
    tables = []
    for scan in scans:
        dice = dice_of(scan.found, scan.truth, len(class_names))[1:]
        tolerance = max(scan.spacing_mm) if tolerance_mm is None else tolerance_mm
        onehot = [
            one_hot(torch.as_tensor(labels.astype(np.int64))[None, None], len(class_names))
            for labels in (scan.found, scan.truth)
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of classes that are nowhere
            surface = compute_surface_dice(
                *onehot, class_thresholds=[tolerance] * (len(class_names) - 1), spacing=scan.spacing_mm
            )
        tables.append(
            pd.DataFrame(
                {
                    "scan": scan.scan_id,
                    "class": class_names[1:],
                    "dice": dice,
                    "iou": dice / (2 - dice),
                    "surface_dice": surface[0].numpy(),
                }
            )
        )
    if not tables:
        raise UsageError(
            "scans", got="none that can be used", allowed="one or more", remedy="name other scans"
        )
    return pd.concat(tables, ignore_index=True)
