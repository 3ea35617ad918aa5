"""A model's scores on scans with a known truth: of a configuration, or of a tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from agg2exp_core.datasets import Case, find_cases, merge_labels
from agg2exp_core.errors import Agg2ExpError, ScanError
from agg2exp_core.models import load_model
from agg2exp_core.prediction import predict
from agg2exp_core.training.config import read_config
from agg2exp_core.training.evaluation import SegmentedScan, score_scans
from agg2exp_core.training.examples import examples_of, no_scan
from agg2exp_core.training.settings import CompareSettings
from agg2exp_core.types import SegmentationModel
from agg2exp_core.volumes import load_scan, resample

Progress = Callable[[int, int], None]
"""Told the scans done and the scans in all."""


@dataclass(frozen=True, eq=False)
class ModelScores:
    """A model's scores, a row per scan and class, and the scans that could not be used, with the reason."""

    scores: pd.DataFrame
    refused: list[Agg2ExpError]


def score_model(
    settings: CompareSettings, name: str, ref: str, progress: Progress = lambda done, total: None
) -> ModelScores:
    """Return the scores of a model of a comparison.

    Parameters
    ----------
    settings : CompareSettings
        On which scans, and on which device.
    name, ref : str
        Of the model.
    progress : callable
        See `Progress`.

    Raises
    ------
    UsageError
        If there is no scan to score on.
    ScanError
        If a scan of a configuration cannot be used.
    """
    model = load_model(ref, settings.device)
    class_names = settings.class_names or model.class_names
    refused: list[Agg2ExpError] = []
    if settings.tree is not None:
        scans = segmented_tree(model, settings.tree, class_names, progress, refused.append)
    else:
        assert settings.config is not None
        scans = segmented_configuration(model, settings.config, progress)
    return ModelScores(score_scans(scans, class_names).assign(model=name), refused)


def segmented_configuration(
    model: SegmentationModel, config: str, progress: Progress
) -> Iterator[SegmentedScan]:
    """Yield the test scans of a configuration, segmented on its own grid by a model of its preprocessing.

    Raises
    ------
    UsageError
        If the configuration has no test scans.
    ScanError
        If a scan cannot be used.
    """
    told = read_config(config)
    spacing_mm = told.preprocessing.build().spacing_mm
    with TemporaryDirectory() as cache:
        examples = examples_of(told, "test", cache)
        for number, example in enumerate(examples, start=1):
            found, truth = predict(model, example.image).labels, example.labels.numpy()
            yield SegmentedScan(example.scan_id, found, truth, (spacing_mm,) * 3)
            progress(number, len(examples))


def segmented_tree(
    model: SegmentationModel,
    tree: str | Path,
    class_names: Sequence[str],
    progress: Progress,
    on_refused: Callable[[Agg2ExpError], None],
) -> Iterator[SegmentedScan]:
    """Yield the test scans of a tree on the grid of their masks, segmented by a model on its own grid.

    So models of any preprocessing are scored on the same voxels; labels are brought there by the nearest
    voxel, and where a model did not look they are background.

    Parameters
    ----------
    model : SegmentationModel
        Any of these classes, in whatever order.
    tree : str or Path
        Like TotalSegmentator's.
    class_names : sequence of str
        The classes by the indices of what is yielded; of masks that overlap the later one counts.
    progress : callable
        See `Progress`.
    on_refused : callable
        Told of scans that cannot be used, their place being their id.

    Raises
    ------
    UsageError
        If no scan of the tree is one to test on.
    """
    cases = [case for case in find_cases(tree) if case.split == "test"]
    if not cases:
        raise no_scan(tree, "test")
    for number, case in enumerate(cases, start=1):
        try:
            yield _segmented(model, case, class_names)
        except ScanError as error:
            on_refused(error.at(case.scan_id))
        progress(number, len(cases))


def _segmented(model: SegmentationModel, case: Case, class_names: Sequence[str]) -> SegmentedScan:
    scan = load_scan(case.image, model, case.scan_id)
    indices = np.array([class_names.index(name) for name in model.class_names])
    labels = indices[predict(model, scan).labels]
    truth, grid = merge_labels(case, class_names)
    found = resample(labels, scan.grid, grid, interpolation="nearest")
    return SegmentedScan(case.scan_id, found, truth, grid.spacing_mm)
