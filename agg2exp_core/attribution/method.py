"""What a method of attribution is: parameters, an `explain`, and how many passes it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import torch

from agg2exp_core.attribution.engine import Problem
from agg2exp_core.windows import Tiling

Explained = tuple[int, torch.Tensor, dict[str, Any]]
"""Class index, attribution ``[C, X, Y, Z]``, and what the method says about it."""

FinishedPlanes = tuple[slice, torch.Tensor, Sequence[dict[str, Any]]]
"""Planes of the scan, their values ``[K, C, n, Y, Z]``, which the next ones may overwrite, and what
the method says about each class so far: it holds once the last planes are there."""


class Method(Protocol):
    """A frozen dataclass whose fields are the method's parameters."""

    name: ClassVar[str]
    random: ClassVar[bool]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def aggregation(self) -> str:
        """How the logits of a class become one number."""

    def explain(self, problem: Problem, classes: Sequence[int]) -> Iterator[Explained]:
        """Yield class index, attribution ``[C, X, Y, Z]`` and information of each class."""


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


@runtime_checkable
class Counted(Protocol):
    """A method that knows its cost beforehand."""

    def passes(self, geometry: Geometry) -> Passes:
        """Return how many passes a scan takes at most, the clean prediction not counted."""


@runtime_checkable
class Joint(Protocol):
    """A method whose passes serve all classes alike, and which holds one attribution at a time.

    Its classes are explained together: in groups it would take the same passes for each.
    """

    serves_all_classes: ClassVar[bool]


@runtime_checkable
class Streaming(Protocol):
    """A method whose attributions of all classes are finished plane by plane."""

    def planes(self, problem: Problem, classes: Sequence[int]) -> Iterator[FinishedPlanes]:
        """Yield the planes of the scan in order, each once."""
