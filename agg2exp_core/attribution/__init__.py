"""Voxel attributions: which voxels made the model segment a class here.

`attribute` is the door, `attribute_planes` the one for attributions that are not held whole;
`registry` knows the methods, `engine` differentiates the sliding-window model, `aggregation` says
what number of a class is explained.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from agg2exp_core.attribution.aggregation import Clean, choose_aggregation
from agg2exp_core.attribution.engine import Problem, Progress
from agg2exp_core.attribution.method import Counted, Geometry, Method, Passes
from agg2exp_core.attribution.plan import Estimate, estimate
from agg2exp_core.attribution.planes import Planes, assemble, stream
from agg2exp_core.attribution.registry import (
    METHODS,
    is_default,
    make_method,
    nearest,
    parameters,
)
from agg2exp_core.errors import UsageError
from agg2exp_core.execution import Execution
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
    "Planes",
    "attribute",
    "attribute_planes",
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
    given = _given(model, scan, method, classes, prediction, seed, roi, execution, progress, params)
    return assemble(stream(*given, whole=True), given[0].tiling.scan_shape[0])


def attribute_planes(
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
) -> Iterator[Planes]:
    """Explain what a model segments in a scan, in planes: for scans whose attributions are not held.

    Parameters and errors are those of `attribute`, and so are the numbers, bit for bit. The gradient
    methods hold a slab as thick as a window for each class; other methods give whole scans as one piece.

    Yields
    ------
    Planes
        Of a group of classes in order; a class without a voxel is left out. Where memory runs out
        midway, the planes of a class begin again at 0, and what came before of it is void.
    """
    given = _given(model, scan, method, classes, prediction, seed, roi, execution, progress, params)
    return stream(*given, whole=False)


def _given(
    model: SegmentationModel,
    scan: Scan | torch.Tensor,
    method: str | Method,
    classes: Sequence[str] | None,
    prediction: Prediction | None,
    seed: int,
    roi: Mask | None,
    execution: Execution | None,
    progress: Progress,
    params: dict[str, Any],
) -> tuple[Problem, Method, list[int], Execution]:
    """Return what is explained, how, for which classes, and how the work is cut."""
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
    return problem, method, [c for c in indices if c in present], execution
