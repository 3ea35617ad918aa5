"""How well a model segments scans with a known truth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd
import torch

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
        found, truth = segment(example.image), example.labels.numpy()
        n_classes = len(class_names)
        both = np.bincount(truth[found == truth].ravel(), minlength=n_classes)
        total = sum(np.bincount(np.ravel(part), minlength=n_classes) for part in (found, truth))
        with np.errstate(invalid="ignore"):
            rows[example.scan_id] = 2 * both / total
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(class_names))
