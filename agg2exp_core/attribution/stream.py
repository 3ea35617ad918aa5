"""Attributions in planes, so that no array of the scan's size is held for a class."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from agg2exp_core.attribution.method import Method
from agg2exp_core.attribution.problem import Problem
from agg2exp_core.execution import (
    Execution,
    fit_classes,
    fit_windows,
    halve_windows,
    ran_out_of_memory,
    to_host,
)
from agg2exp_core.types import ClassAttribution, FloatVolume, SegmentationModel
from agg2exp_core.windows import Tiling

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Planes:
    """Neighbouring planes of the attributions of some classes.

    Parameters
    ----------
    class_names : tuple of str
        The K classes.
    start, stop : int
        Which planes of the first axis of the scan.
    values : ndarray of float, shape [K, C, n, Y, Z]
        The planes; to be copied by whoever keeps them longer than until the next ones.
    infos : tuple of mapping, or None
        What the method says about each class, with the last planes of a scan.
    """

    class_names: tuple[str, ...]
    start: int
    stop: int
    values: FloatVolume
    infos: tuple[Mapping[str, Any], ...] | None

    def by_class(self) -> Iterator[tuple[str, FloatVolume]]:
        """Yield each class with its values ``[n, Y, Z]``, or ``[C, n, Y, Z]`` for several channels."""
        for name, values in zip(self.class_names, self.values, strict=True):
            yield name, values[0] if len(values) == 1 else values


def class_bytes(model: SegmentationModel, method: Method, tiling: Tiling, *, whole: bool) -> int:
    """Return the memory of one class's attribution while it is computed.

    Parameters
    ----------
    model : SegmentationModel
        The model.
    method : Method
        How.
    tiling : Tiling
        The windows over the scan.
    whole : bool
        Whether the caller holds whole arrays.
    """
    n_planes, *sides = tiling.padded_shape
    if method.streams:
        n_planes = tiling.settings.shape[0] + whole * n_planes
    return n_planes * math.prod(sides) * model.n_channels * model.dtype.itemsize


def classes_together(
    model: SegmentationModel,
    method: Method,
    tiling: Tiling,
    execution: Execution,
    n_classes: int,
    *,
    whole: bool,
) -> int:
    """Return how many of some classes are explained together: what fits, or all where it is one game."""
    if method.joint:
        return n_classes
    n_bytes = class_bytes(model, method, tiling, whole=whole)
    return fit_classes(model, execution.class_batch, n_bytes, n_classes)


def stream(
    problem: Problem, method: Method, classes: Sequence[int], execution: Execution, *, whole: bool
) -> Iterator[Planes]:
    """Explain group by group; what runs out of memory starts anew with less at once.

    Parameters
    ----------
    problem : Problem
        What is explained.
    method : Method
        How.
    classes : sequence of int
        Which classes.
    execution : Execution
        How the work is cut.
    whole : bool
        Whether the caller holds whole arrays, which decides how many classes are held at once.

    Yields
    ------
    Planes
        Of a group of classes in order. Where memory runs out midway, its planes begin again at 0,
        and what came before of these classes is void: a result has the bits of the batch that fitted.
    """
    model, waiting = problem.model, list(classes)
    n_classes = classes_together(model, method, problem.tiling, execution, len(waiting), whole=whole)
    while waiting:
        n_windows = fit_windows(model, execution.window_batch)
        try:
            group = replace(problem, window_batch=n_windows), method, waiting[:n_classes]
            for finished, planes in _computed(model, _group(*group)):
                yield planes
                waiting = [c for c in waiting if c not in finished]
            continue
        except RuntimeError as error:
            if not ran_out_of_memory(error) or (n_windows == 1 and (n_classes == 1 or method.joint)):
                raise
        if n_windows > 1:
            halve_windows(model, n_windows)
        else:
            n_classes = max(n_classes // 2, 1)


def _computed(model: SegmentationModel, steps: Iterator[T]) -> Iterator[T]:
    """Yield what is computed in the model's arithmetic, step by step; what the caller does is in its own."""
    while True:
        with model.arithmetic():
            try:
                step = next(steps)
            except StopIteration:
                return
        yield step


def _group(
    problem: Problem, method: Method, classes: Sequence[int]
) -> Iterator[tuple[Sequence[int], Planes]]:
    """Yield planes, and the classes that are finished with them."""
    names = problem.model.class_names
    n_planes = problem.tiling.scan_shape[0]
    if method.streams:
        of_group = tuple(names[c] for c in classes)
        for planes, values, infos in method.planes(problem, classes):
            last = planes.stop == n_planes
            told = tuple(infos) if last else None
            array = to_host(values)
            yield classes if last else (), Planes(of_group, planes.start, planes.stop, array, told)
    else:
        for c, values, info in method.explain(problem, classes):
            array = to_host(values)[None]
            yield (c,), Planes((names[c],), 0, n_planes, array, (info,))


def assemble(pieces: Iterator[Planes], n_planes: int) -> Iterator[ClassAttribution]:
    """Yield the whole attribution of each class once its last planes are there.

    Parameters
    ----------
    pieces : iterator of Planes
        As from `stream`.
    n_planes : int
        X of the scan.
    """
    arrays: dict[str, FloatVolume] = {}
    for planes in pieces:
        for name, values in planes.by_class():
            if planes.start == 0:
                shape = (*values.shape[:-3], n_planes, *values.shape[-2:])
                arrays[name] = np.empty(shape, values.dtype)
            arrays[name][..., planes.start : planes.stop, :, :] = values
        if planes.infos is not None:
            for name, info in zip(planes.class_names, planes.infos, strict=True):
                yield ClassAttribution(name, arrays.pop(name), info)
