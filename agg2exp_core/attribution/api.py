"""What others ask for: the attributions of a scan, whole or in planes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from agg2exp_core.attribution.masks import choose_aggregation
from agg2exp_core.attribution.method import Method
from agg2exp_core.attribution.problem import Problem, Progress
from agg2exp_core.attribution.registry import make_method
from agg2exp_core.attribution.stream import Planes, assemble, stream
from agg2exp_core.errors import unknown_name
from agg2exp_core.execution import Execution
from agg2exp_core.prediction import predict
from agg2exp_core.types import ClassAttribution, Mask, Prediction, Scan, SegmentationModel


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
            raise unknown_name("classes", name, model.class_names)
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
        Called with the number of windows done and their total, for each group of classes.
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
    method, execution = _how(method, execution, params)
    wanted, aggregation = choose_classes(model, classes), choose_aggregation(method.aggregation, roi)
    prediction = prediction or predict(model, scan, window_batch=execution.window_batch)
    problem = Problem.of(model, scan, prediction, aggregation, roi, seed, progress)
    pieces = stream(problem, method, problem.present(wanted), execution, whole=True)
    return assemble(pieces, problem.tiling.scan_shape[0])


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
    method, execution = _how(method, execution, params)
    wanted, aggregation = choose_classes(model, classes), choose_aggregation(method.aggregation, roi)
    prediction = prediction or predict(model, scan, window_batch=execution.window_batch)
    problem = Problem.of(model, scan, prediction, aggregation, roi, seed, progress)
    return stream(problem, method, problem.present(wanted), execution, whole=False)


def _how(
    method: str | Method, execution: Execution | None, params: dict[str, Any]
) -> tuple[Method, Execution]:
    """Return the method with its parameters, and how the work is cut, where that is among them."""
    if execution is None:
        execution = Execution(params.pop("window_batch", None), params.pop("class_batch", None))
    return make_method(method, params) if isinstance(method, str) else method, execution
