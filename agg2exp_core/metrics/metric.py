"""What a metric of attributions is: a direction, a range, the perturbed outputs it needs, its scores."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import ConfigDict

from agg2exp_core.attribution import Execution, Geometry, Method, Passes
from agg2exp_core.settings import Settings
from agg2exp_core.types import Prediction, Scan, SegmentationModel

OutputDrops = NDArray[np.float64]
"""Aggregated outputs of the clean scan less those of perturbed ones, of all classes ``[n_perturbations, L]``;
NaN for absent classes."""

REFERENCE_METHOD = ("shapley_semantic", {"max_exact_players": 13})
"""The method whose matrix the others are measured against, exact where it can be, and its parameters."""


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
class EvaluatedScan:
    """A scan as a model segments it: what perturbed outputs depend on, and no attribution.

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
    clean : EvaluatedScan
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
        The local matrix of the reference method.
    exact_info : callable
        From a class to what the reference method says about it: which share was solved exactly, and its
        error.
    """

    clean: EvaluatedScan
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
        return self.method.player_sizes(self.clean.prediction.labels)

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

    def output_drops(self, clean: EvaluatedScan, start: int, stop: int) -> OutputDrops:
        """Return the drops for perturbations `start` to `stop` ``[stop - start, L]``, however cut."""


class Metric(Settings):
    """A metric, whose fields are its options."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    name: ClassVar[str]
    """What users call it."""
    direction: ClassVar[Literal["higher", "lower"]]
    """Which scores are better."""
    bounds: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    """Between which scores lie."""
    unit: ClassVar[str] = ""
    """Of a score, in words."""
    needs_exact_matrix: ClassVar[bool] = False
    """Whether it asks for `Subject.exact_matrix`, which costs passes of its own."""

    @property
    def perturbations(self) -> Perturbations | None:
        """The perturbed outputs that it needs; by default none."""
        return None

    @abstractmethod
    def scores(self, subject: Subject, output_drops: Callable[[int], OutputDrops]) -> Mapping[str, Score]:
        """Return the score of each class of a subject.

        Parameters
        ----------
        subject : Subject
            What is judged.
        output_drops : callable
            From n to the first n rows of the output drops of `perturbations`, all of them for a large n.
        """

    def passes(self, geometry: Geometry, method: Method) -> Passes:
        """Return the window passes for one scan and method beside those of its perturbations, at most."""
        return Passes(0)
