"""Where the derivative of an aggregated output begins: ``u_c``, read window by window."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch

from agg2exp_core.windows import Window

OfClass = Callable[[int], torch.Tensor]
"""From the index of a class to a volume ``[*window]``."""

NO_CLASS = -1
"""Label of padding: no class, no weight."""


class Cotangents(Protocol):
    """The cotangents of all classes over one padded scan."""

    @property
    def present(self) -> tuple[frozenset[int], ...]:
        """The classes of each window whose cotangent is not zero throughout it."""

    @property
    def shared(self) -> bool:
        """Whether all classes have the same."""

    def inside(self, window: Window, weight: torch.Tensor) -> OfClass:
        """Return what gives ``weight * u_c`` inside a window ``[*window]``, from a class's index.

        Parameters
        ----------
        window : tuple of slice
            The window.
        weight : torch.Tensor, shape [*window]
            A factor a voxel: ``I / N``.
        """


@dataclass(frozen=True, eq=False)
class MaskCotangents:
    """Cotangents on the voxels of each class: a factor a class, and a volume that all share.

    Parameters
    ----------
    labels : torch.Tensor or None, shape [*padded scan]
        Class of each voxel on the clean scan, `NO_CLASS` in the padding; None where all classes
        share one mask.
    factors : torch.Tensor, shape [L]
        By class.
    volume : torch.Tensor or None, shape [*padded scan]
        By voxel; None for 1 everywhere.
    windows : tuple
        The windows over the padded scan.
    """

    labels: torch.Tensor | None
    factors: torch.Tensor
    volume: torch.Tensor | None
    windows: tuple[Window, ...]

    @property
    def shared(self) -> bool:
        """Whether all classes have the same."""
        return self.labels is None

    def inside(self, window: Window, weight: torch.Tensor) -> OfClass:
        """Return what gives ``weight * u_c`` inside a window ``[*window]``, from a class's index."""
        if self.volume is not None:
            weight = weight * self.volume[window]
        if self.labels is None:
            return lambda c: weight * self.factors[c]
        labels = self.labels[window].contiguous()
        return lambda c: weight * self.factors[c] * (labels == c)

    @cached_property
    def present(self) -> tuple[frozenset[int], ...]:
        """The classes of each window whose cotangent is not zero throughout it."""
        return tuple(self._classes_in(window) for window in self.windows)

    def _classes_in(self, window: Window) -> frozenset[int]:
        weighted = None if self.volume is None else self.volume[window] != 0
        if self.labels is None:
            anything = weighted is None or bool(weighted.any())
            return frozenset(range(len(self.factors))) if anything else frozenset()
        labels = self.labels[window] if weighted is None else self.labels[window][weighted]
        counts = torch.bincount(labels.flatten() - NO_CLASS)[1:]
        return frozenset(torch.nonzero(counts).flatten().tolist())


@dataclass(frozen=True, eq=False)
class PointCotangents:
    """Cotangents on one or two voxels of each class, which share a weight of 1.

    Parameters
    ----------
    voxels : mapping of int to list of tuple
        Of each class, in the padded scan.
    windows : tuple
        The windows over the padded scan.
    """

    voxels: Mapping[int, list[tuple[int, ...]]]
    windows: tuple[Window, ...]

    @property
    def shared(self) -> bool:
        """Whether all classes have the same."""
        return False

    def inside(self, window: Window, weight: torch.Tensor) -> OfClass:
        """Return what gives ``weight * u_c`` inside a window ``[*window]``, from a class's index."""

        def of_class(c: int) -> torch.Tensor:
            share = torch.zeros_like(weight)
            for voxel in self.voxels[c]:
                if _lies_in(voxel, window):
                    place = tuple(v - part.start for v, part in zip(voxel, window, strict=True))
                    share[place] = weight[place] / len(self.voxels[c])
            return share

        return of_class

    @cached_property
    def present(self) -> tuple[frozenset[int], ...]:
        """The classes of each window whose cotangent is not zero throughout it."""
        return tuple(
            frozenset(c for c, voxels in self.voxels.items() if any(_lies_in(v, window) for v in voxels))
            for window in self.windows
        )


def _lies_in(voxel: tuple[int, ...], window: Window) -> bool:
    return all(part.start <= v < part.stop for v, part in zip(voxel, window, strict=True))
