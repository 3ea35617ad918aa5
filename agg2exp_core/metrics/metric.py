"""What a metric of attributions is: a direction, a range, the perturbed outputs it needs, its scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from agg2exp_core.attribution import Execution
from agg2exp_core.attribution.method import Geometry, Method, Passes
from agg2exp_core.attribution.players import PlayerMethod
from agg2exp_core.types import Prediction, Scan, SegmentationModel

Falls = NDArray[np.float64]
"""Falls of the aggregated outputs of all classes ``[n_perturbations, L]``; NaN for absent classes."""


@dataclass(frozen=True)
class Score:
    """What a metric says about the attribution of one class in one scan.

    Parameters
    ----------
    value : float
        In the metric's unit; NaN where it is not defined.
    standard_error : float or None
        Of its sampling; None for a metric that samples nothing.
    details : mapping
        What else it says, JSON-ready.
    """

    value: float
    standard_error: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Clean:
    """A scan and its model: what perturbed outputs depend on, and no attribution.

    Parameters
    ----------
    model : SegmentationModel
        The model.
    scan : Scan
        The scan.
    prediction : Prediction
        Of the clean scan.
    seed : int
        Of what is drawn.
    execution : Execution
        How the work is cut.
    """

    model: SegmentationModel
    scan: Scan
    prediction: Prediction
    seed: int
    execution: Execution


@dataclass(frozen=True, eq=False)
class Subject:
    """The attributions of one method in one scan.

    Parameters
    ----------
    clean : Clean
        The scan and its model.
    method : Method
        How the attributions were made.
    classes : tuple of str
        Which are judged; each has a voxel.
    attribution : callable
        From a class to its attribution ``[X, Y, Z]``, or ``[C, X, Y, Z]`` for several channels: an
        array of NumPy's or Dask's, of which parts are taken.
    matrix : callable
        The local matrix of these attributions.
    exact_matrix : callable
        The local matrix of the yardstick, `shapley_semantic`.
    exact_info : callable
        From a class to what the yardstick says about it: which share was solved exactly, and its error.
    """

    clean: Clean
    method: Method
    classes: tuple[str, ...]
    attribution: Callable[[str], Any]
    matrix: Callable[[], xr.Dataset]
    exact_matrix: Callable[[], xr.Dataset]
    exact_info: Callable[[str], Mapping[str, Any]]

    @cached_property
    def scale(self) -> NDArray[np.int64] | None:
        """By what the metrics of voxels multiply an attribution ``[X, Y, Z]``; None for 1.

        They judge a method of players by the whole value of a player on each of its voxels, as the
        paper's Table 1 does; its regions are judged by values that sum to the player's.
        """
        method = self.method
        if not isinstance(method, PlayerMethod) or method.spread == "repeat":
            return None
        ids = method.supervoxels(torch.from_numpy(self.clean.prediction.labels.astype(np.int16))).numpy()
        return np.asarray(np.bincount(ids.ravel())[ids])

    def on_voxels(self, name: str) -> NDArray[np.floating[Any]]:
        """Return the attribution of a class that the metrics of voxels judge."""
        values = np.asarray(self.attribution(name))
        return values if self.scale is None else values * self.scale


class Perturbations(Protocol):
    """Perturbed copies of a scan that do not depend on the method or the class: made once, shared."""

    @property
    def recipe(self) -> Mapping[str, Any]:
        """What they depend on beside scan, model and seed, JSON-ready."""

    def most(self, n_classes: int) -> int:
        """Return how many there are, at most, for a model of L classes."""

    def falls(self, clean: Clean, start: int, stop: int) -> Falls:
        """Return the falls for perturbations `start` to `stop` ``[stop - start, L]``, however cut."""


class Metric(Protocol):
    """A frozen dataclass whose fields are the metric's options."""

    name: ClassVar[str]
    direction: ClassVar[Literal["higher", "lower"]]
    bounds: ClassVar[tuple[float, float]]
    unit: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def perturbations(self) -> Perturbations | None:
        """The perturbed outputs that it needs, if any."""

    def scores(self, subject: Subject, falls: Callable[[int], Falls]) -> Mapping[str, Score]:
        """Return the score of each class of a subject.

        Parameters
        ----------
        subject : Subject
            What is judged.
        falls : callable
            From n to the first n rows of the falls of `perturbations`, all of them for a large n.
        """

    def passes(self, geometry: Geometry, method: Method) -> Passes:
        """Return the window passes for one scan and method beside those of its perturbations, at most."""
