"""Voxel attributions: which voxels made the model segment a class here.

`attribute` is the door; `registry` knows the methods, `engine` differentiates the sliding-window
model, `aggregation` says what number of a class is explained.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from agg2exp_core.attribution.aggregation import Clean, choose_aggregation
from agg2exp_core.attribution.engine import Problem, Progress
from agg2exp_core.attribution.method import Counted, Explained, Geometry, Method, Passes
from agg2exp_core.attribution.plan import Estimate, estimate
from agg2exp_core.attribution.registry import (
    METHODS,
    is_default,
    make_method,
    nearest,
    parameters,
)
from agg2exp_core.errors import UsageError
from agg2exp_core.execution import Execution, fit_classes, fit_windows, halve_windows
from agg2exp_core.prediction import as_image, predict, spatial_shape
from agg2exp_core.types import ClassAttribution, Mask, Prediction, Scan, SegmentationModel
from agg2exp_core.windows import Tiling

__all__ = [
    "METHODS",
    "Counted",
    "Estimate",
    "Execution",
    "Geometry",
    "Method",
    "Passes",
    "attribute",
    "choose_aggregation",
    "choose_classes",
    "estimate",
    "is_default",
    "make_method",
    "nearest",
    "parameters",
]


def choose_classes(model: SegmentationModel, classes: Sequence[str] | None) -> list[int]:
    """Return the indices of class names, in the model's order; all classes for None.

    Raises
    ------
    UsageError
        If the model has no class of a name.
    """
    if classes is None:
        return list(range(model.n_classes))
    for name in classes:
        if name not in model.class_names:
            raise UsageError(
                "classes",
                got=f"{name!r}",
                allowed=", ".join(model.class_names),
                remedy=nearest(name, model.class_names),
            )
    return sorted({model.class_names.index(name) for name in classes})


def attribute(
    model: SegmentationModel,
    scan: Scan | torch.Tensor,
    method: str | Method = "smoothgrad",
    classes: Sequence[str] | None = None,
    prediction: Prediction | None = None,
    seed: int = 0,
    *,
    roi: Mask | None = None,
    execution: Execution | None = None,
    progress: Progress = lambda done, total: None,
    **params: Any,
) -> Iterator[ClassAttribution]:
    """Explain what a model segments in a scan, class by class.

    Parameters
    ----------
    model : SegmentationModel
        The model.
    scan : Scan or torch.Tensor of shape [C, X, Y, Z]
        The preprocessed scan.
    method : str or Method
        A name in `METHODS`, or a method with its parameters.
    classes : sequence of str, optional
        Which classes; all by default.
    prediction : Prediction, optional
        What the model segments in the clean scan, where it is known already.
    seed : int
        Seed of what is random, together with the scan's id.
    roi : ndarray of bool, shape [X, Y, Z], optional
        The mask of ``aggregation="roi"``, explained in place of the predicted ones.
    execution : Execution, optional
        How the work is cut; also as ``window_batch`` and ``class_batch``. Whatever is asked, what
        runs out of memory is done again with less at once.
    progress : callable
        Called with the number of window batches done and their total, for each group of classes.
    **params
        The method's parameters.

    Yields
    ------
    ClassAttribution
        In the model's order of classes; a class without a voxel is left out.

    Raises
    ------
    UsageError
        For a method, parameter or class that does not exist.
    ModelError
        If the scan's channels are not the model's.
    """
    if execution is None:
        execution = Execution(params.pop("window_batch", None), params.pop("class_batch", None))
    if isinstance(method, str):
        method = make_method(method, params)
    indices = choose_classes(model, classes)
    aggregation = choose_aggregation(method.aggregation, roi)
    image = as_image(model, scan)
    if prediction is None:
        prediction = predict(model, scan, window_batch=execution.window_batch)
    tiling = Tiling(model.windows, spatial_shape(image))
    problem = Problem(
        model=model,
        image=image,
        tiling=tiling,
        clean=Clean.of(prediction, roi, tiling, image),
        aggregation=aggregation,
        noise_address=(seed, scan.scan_id if isinstance(scan, Scan) else ""),
        progress=progress,
    )
    present = problem.clean.present
    return _explain(problem, method, [c for c in indices if c in present], execution)


def _explain(
    problem: Problem, method: Method, indices: Sequence[int], execution: Execution
) -> Iterator[ClassAttribution]:
    """Explain group by group; what runs out of memory starts anew with less at once.

    Nothing of a group that failed is kept, so that a result has the bits of the batch that fitted.
    """
    model, waiting = problem.model, list(indices)
    class_bytes = math.prod(problem.tiling.padded_shape) * model.n_channels * model.dtype.itemsize
    n_classes = fit_classes(model, execution.class_batch, class_bytes, len(waiting))
    while waiting:
        n_windows = fit_windows(model, execution.window_batch)
        try:
            for explained in method.explain(replace(problem, window_batch=n_windows), waiting[:n_classes]):
                yield _as_class_attribution(problem, explained)
                waiting.remove(explained[0])
            continue
        except torch.OutOfMemoryError:
            if n_windows == 1 and n_classes == 1:
                raise
        if n_windows > 1:
            halve_windows(model, n_windows)
        else:
            n_classes = max(n_classes // 2, 1)


def _as_class_attribution(problem: Problem, explained: Explained) -> ClassAttribution:
    c, values, info = explained
    array = np.asarray((values[0] if problem.image.shape[0] == 1 else values).cpu())
    return ClassAttribution(problem.model.class_names[c], array, info)
