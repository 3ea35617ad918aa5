"""What a method of attribution is: parameters, a way to explain, and what it says it can do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ConfigDict

from agg2exp_core.attribution.masks import AggregationName, parse_aggregation
from agg2exp_core.attribution.problem import Problem
from agg2exp_core.settings import Settings
from agg2exp_core.types import LabelVolume
from agg2exp_core.windows import Tiling

Explained = tuple[int, torch.Tensor, dict[str, Any]]
"""Class index, attribution ``[C, X, Y, Z]``, and what the method says about it."""

FinishedPlanes = tuple[slice, torch.Tensor, Sequence[dict[str, Any]]]
"""Planes of the scan, their values ``[K, C, n, Y, Z]``, which the next ones may overwrite, and what
the method says about each class so far: it holds once the last planes are there."""


class Passes(NamedTuple):
    """How often a window passes the network, at most: a window counts for itself in any batch.

    Parameters
    ----------
    forward : int
        Forward passes of a window.
    backward : int
        Backward passes, one a window and class.
    """

    forward: int
    backward: int = 0

    def times(self, n: int) -> Passes:
        """Return the passes of doing it `n` times."""
        return Passes(n * self.forward, n * self.backward)

    def plus(self, other: Passes) -> Passes:
        """Return the passes of both."""
        return Passes(self.forward + other.forward, self.backward + other.backward)


@dataclass(frozen=True)
class Geometry:
    """What is known of a problem before the network has seen the scan.

    Parameters
    ----------
    tiling : Tiling
        The windows over the scan.
    n_channels : int
        C.
    n_classes : int
        L, background included.
    n_explained : int
        K, the classes that are asked for.
    """

    tiling: Tiling
    n_channels: int
    n_classes: int
    n_explained: int

    @property
    def n_windows(self) -> int:
        """Windows over the scan."""
        return len(self.tiling.windows)


class Method(Settings):
    """A method of attribution, whose fields are its parameters.

    It defines `planes`, or `explain`; of a class that derives from another method, whichever of the two it
    defines itself counts.
    """

    model_config = ConfigDict(coerce_numbers_to_str=True)

    name: ClassVar[str]
    """What users call it."""
    random: ClassVar[bool] = True
    """Whether the seed changes the result."""
    streams: ClassVar[bool] = False
    """Whether the attributions of all classes are finished plane by plane, by `planes`."""
    joint: ClassVar[bool] = False
    """Whether its passes serve all classes alike while it holds one attribution at a time: classes are then
    explained together, since in groups it would take the same passes for each."""
    players: ClassVar[bool] = False
    """Whether voxels have the values of players, alike all over a region."""
    regions_play: ClassVar[bool] = False
    """Whether the players are the predicted classes."""

    aggregation: AggregationName = "sum"
    """How the logits of a class become one number: ``sum``, ``mean``, ``probability``, ``margin``
    (less the logit of the runner-up), ``median``, or ``roi:NAME`` (Eq. 2)."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "planes" in vars(cls) or "explain" in vars(cls):
            cls.streams = "planes" in vars(cls)

    def planes(self, problem: Problem, classes: Sequence[int]) -> Iterator[FinishedPlanes]:
        """Yield the attributions of all classes in planes of the scan, in order, each once."""
        raise NotImplementedError(f"{type(self).__name__} defines neither planes nor explain")

    def explain(self, problem: Problem, classes: Sequence[int]) -> Iterator[Explained]:
        """Yield the attribution of each class, whole: by default put together from `planes`."""
        total = problem.image.new_empty((len(classes), *problem.image.shape))
        infos: Sequence[dict[str, Any]] = ()
        for planes, values, so_far in self.planes(problem, classes):
            total[:, :, planes] = values
            infos = so_far
        yield from zip(classes, total, infos, strict=True)

    def check(self, geometry: Geometry) -> None:
        """Refuse parameters that mean nothing on a scan, as far as that is known before it is segmented.

        Raises
        ------
        UsageError
            If there are some.
        """

    def passes(self, geometry: Geometry) -> Passes | None:
        """Return how many passes a scan takes at most, the clean prediction not counted; None if unknown."""
        return None

    def passes_of_scan(self, geometry: Geometry) -> Passes | None:
        """Return `passes`, and those over the clean scan that find the runner-up for the margin."""
        passes = self.passes(geometry)
        return None if passes is None else passes.plus(self.clean_passes(geometry))

    def clean_passes(self, geometry: Geometry) -> Passes:
        """Return the passes over the clean scan for the aggregation, once for all classes of a call."""
        return Passes(geometry.n_windows if parse_aggregation(self.aggregation).contrasts else 0)

    def player_sizes(self, labels: LabelVolume) -> NDArray[np.int64] | None:
        """Return what makes the value of a voxel that of its player ``[X, Y, Z]``; None for 1 throughout."""
        return None

    @property
    def region(self) -> str | None:
        """NAME of ``aggregation="roi:NAME"``, empty for ``roi`` alone; None for other aggregations."""
        return parse_aggregation(self.aggregation).region
