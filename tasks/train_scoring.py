"""The scans that models are scored on, segmented by one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from agg2exp_core.datasets import Case, find_cases, merge_labels
from agg2exp_core.errors import ScanError, UsageError
from agg2exp_core.prediction import predict
from agg2exp_core.training import examples_of, read_config
from agg2exp_core.training.evaluation import Segmented
from agg2exp_core.types import SegmentationModel
from agg2exp_core.volumes import load_scan, resample

Progress = Callable[[int, int], None]


def of_configuration(model: SegmentationModel, config: str, show: Progress) -> Iterator[Segmented]:
    """Yield the test scans of a configuration on the network's own grid, segmented by a model.

    Parameters
    ----------
    model : SegmentationModel
        With the preprocessing of the configuration.
    config : str
        Name or file of the configuration.
    show : callable
        Called with the scans done and the scans in all.

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
            yield Segmented(example.scan_id, found, truth, (spacing_mm,) * 3)
            show(number, len(examples))


def of_tree(
    model: SegmentationModel,
    tree: str | Path,
    class_names: Sequence[str],
    show: Progress,
    on_refused: Callable[[ScanError], None],
) -> Iterator[Segmented]:
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
    show : callable
        Called with the scans done and the scans in all.
    on_refused : callable
        Told of scans that cannot be used, their place being their id.

    Raises
    ------
    UsageError
        If no scan of the tree is one to test on.
    """
    cases = [case for case in find_cases(tree) if case.split == "test"]
    if not cases:
        raise UsageError(
            tree,
            got="no scan in the split test",
            allowed="a tree whose meta.csv names test scans",
            remedy="correct meta.csv",
        )
    for number, case in enumerate(cases, start=1):
        try:
            yield _segmented(model, case, class_names)
        except ScanError as error:
            on_refused(error.at(case.scan_id))
        show(number, len(cases))


def _segmented(model: SegmentationModel, case: Case, class_names: Sequence[str]) -> Segmented:
    scan = load_scan(case.image, model, case.scan_id)
    indices = np.array([class_names.index(name) for name in model.class_names])
    labels = indices[predict(model, scan).labels]
    truth, grid = merge_labels(case, class_names)
    found = resample(labels, scan.grid, grid, interpolation="nearest")
    return Segmented(case.scan_id, found, truth, grid.spacing_mm)
