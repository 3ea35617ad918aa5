"""From the logits of a class to one number: the aggregated model output (Eq. 2).

Every aggregation is an inner product ``<u_c, z_c(x)>`` with a cotangent `u_c` that is zero outside
the class's mask, and the masks are fixed from the clean scan. `u_c` is where the derivative of the
output begins; it is read window by window. What is read, `z`, are the logits, or for the margin
(`CleanMasks.contrast`) the logits less that of each voxel's runner-up.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated

import numpy as np
import torch
from pydantic import AfterValidator

from agg2exp_core.errors import UsageError, unknown_name
from agg2exp_core.types import Mask, Prediction
from agg2exp_core.windows import Tiling, Window

OfClass = Callable[[int], torch.Tensor]
"""From the index of a class to a volume ``[*window]``."""

RunnerUp = Callable[[torch.Tensor], torch.Tensor | None]
"""From the clean label map ``[X, Y, Z]`` to each voxel's runner-up, if one is wanted."""

NO_CLASS = -1
"""Label of padding: no class, no weight."""


class Cotangents(ABC):
    """The cotangents of all classes over one padded scan, cut into windows."""

    windows: tuple[Window, ...]

    @property
    def shared(self) -> bool:
        """Whether all classes have the same."""
        return False

    @cached_property
    def present(self) -> tuple[frozenset[int], ...]:
        """The classes of each window whose cotangent is not zero throughout it."""
        return tuple(self._classes_in(window) for window in self.windows)

    @abstractmethod
    def _classes_in(self, window: Window) -> frozenset[int]: ...

    @abstractmethod
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
class MaskCotangents(Cotangents):
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

    def _classes_in(self, window: Window) -> frozenset[int]:
        weighted = None if self.volume is None else self.volume[window] != 0
        if self.labels is None:
            anything = weighted is None or bool(weighted.any())
            return frozenset(range(len(self.factors))) if anything else frozenset()
        labels = self.labels[window] if weighted is None else self.labels[window][weighted]
        counts = torch.bincount(labels.flatten() - NO_CLASS)[1:]
        return frozenset(torch.nonzero(counts).flatten().tolist())


@dataclass(frozen=True, eq=False)
class PointCotangents(Cotangents):
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

    def _classes_in(self, window: Window) -> frozenset[int]:
        return frozenset(c for c, voxels in self.voxels.items() if any(_lies_in(v, window) for v in voxels))


def _lies_in(voxel: tuple[int, ...], window: Window) -> bool:
    return all(part.start <= v < part.stop for v, part in zip(voxel, window, strict=True))


@dataclass(frozen=True, eq=False)
class CleanMasks:
    """What is fixed from the clean scan, padded, on the model's device.

    Parameters
    ----------
    prediction : Prediction
        What the model segments in it.
    labels : torch.Tensor, shape [*padded scan]
        Predicted classes, `NO_CLASS` in the padding.
    roi : torch.Tensor or None, shape [*padded scan]
        A mask to explain in place of the predicted ones.
    runner_up : torch.Tensor or None, shape [*padded scan]
        The class against whose logit each voxel's is read; None where logits are read as they are.
    tiling : Tiling
        The windows.
    like : torch.Tensor
        Of the model's type, on its device.
    """

    prediction: Prediction
    labels: torch.Tensor
    roi: torch.Tensor | None
    runner_up: torch.Tensor | None
    tiling: Tiling
    like: torch.Tensor

    @classmethod
    def of(
        cls,
        prediction: Prediction,
        roi: Mask | None,
        tiling: Tiling,
        like: torch.Tensor,
        runner_up: RunnerUp = lambda labels: None,
    ) -> CleanMasks:
        """Pad and move a prediction to where the image `like` is, in its type."""
        labels = torch.as_tensor(prediction.labels.astype(np.int16), device=like.device)
        second = runner_up(labels)
        return cls(
            prediction=prediction,
            labels=tiling.pad(labels, NO_CLASS),
            roi=None if roi is None else tiling.pad(torch.as_tensor(roi).to(like)),
            runner_up=None if second is None else tiling.pad(second),
            tiling=tiling,
            like=like.new_empty(0),
        )

    def contrast(self, logits: torch.Tensor, windows: Sequence[Window]) -> torch.Tensor:
        """Return what outputs are read from, of logits of windows: both ``[B, L, *window]``."""
        if self.runner_up is None:
            return logits
        against = torch.stack([self.runner_up[window] for window in windows])
        return logits - logits.gather(1, against.long()[:, None])

    @property
    def n_classes(self) -> int:
        """L, background included."""
        return len(self.prediction.class_names)

    @property
    def own_probability(self) -> torch.Tensor:
        """Softmax probability of each voxel's own class, 0 in the padding ``[*padded scan]``."""
        return self.tiling.pad(torch.as_tensor(np.asarray(self.prediction.own_probability)).to(self.like))

    @cached_property
    def n_voxels(self) -> torch.Tensor:
        """Voxels of each class, float64 ``[L]``."""
        return self.per_class(None)

    @property
    def present(self) -> frozenset[int]:
        """The classes that have a voxel to explain; with a mask in their place, all of them."""
        if self.roi is not None:
            return frozenset(range(self.n_classes)) if bool(self.roi.any()) else frozenset()
        return frozenset(torch.nonzero(self.n_voxels).flatten().tolist())

    def per_class(self, volume: torch.Tensor | None) -> torch.Tensor:
        """Sum ``[*padded scan]``, or 1 for None, over the voxels of each class, float64 ``[L]``."""
        sums = torch.zeros(self.n_classes, dtype=torch.float64)
        # by the CPU, in whose order the sums of any device come; plane by plane, so that no copy is made
        for n, labels in enumerate(self.labels):
            of_plane = labels.cpu()
            inside = of_plane >= 0
            index = of_plane[inside].long()
            values = torch.ones_like(index) if volume is None else volume[n].cpu()[inside]
            sums.index_add_(0, index, values.double())
        return sums.to(self.labels.device)


def _on_masks(clean: CleanMasks, factors: torch.Tensor, volume: torch.Tensor | None = None) -> Cotangents:
    return MaskCotangents(clean.labels, factors.to(clean.like), volume, clean.tiling.windows)


def _probability(clean: CleanMasks, own_logit: torch.Tensor | None) -> Cotangents:
    probability = clean.own_probability
    return _on_masks(clean, 1 / clean.per_class(probability), probability)


def _roi(clean: CleanMasks, own_logit: torch.Tensor | None) -> Cotangents:
    assert clean.roi is not None
    return MaskCotangents(None, clean.like.new_ones(clean.n_classes), clean.roi, clean.tiling.windows)


def _median(clean: CleanMasks, own_logit: torch.Tensor | None) -> Cotangents:
    assert own_logit is not None
    voxels = {}
    flat_labels, flat_logit = clean.labels.flatten(), own_logit.flatten()
    for class_index in sorted(clean.present):
        of_class = torch.nonzero(flat_labels == class_index).flatten()
        order = torch.argsort(flat_logit[of_class], stable=True)
        middle = of_class[order[(len(order) - 1) // 2 : len(order) // 2 + 1]]  # one voxel, or two
        places = np.unravel_index(middle.cpu().numpy(), clean.tiling.padded_shape)
        voxels[class_index] = list(zip(*(axis.tolist() for axis in places), strict=True))
    return PointCotangents(voxels, clean.tiling.windows)


@dataclass(frozen=True)
class Aggregation:
    """How the logits of a class become one number.

    Parameters
    ----------
    name : str
        As in ``aggregation=``.
    linear : bool
        Whether the cotangent is fixed once the clean scan is given.
    cotangents : callable
        From what is clean, and for what is not linear the own-class logits ``[*padded scan]`` of
        the scan at hand, to the cotangents of all classes.
    region : str or None
        NAME of ``roi:NAME``, empty for ``roi`` alone, whose mask is given; None for the others.
    contrasts : bool
        Whether logits are read less that of the runner-up, which takes a pass over the clean scan.
    """

    name: str
    linear: bool
    cotangents: Callable[[CleanMasks, torch.Tensor | None], Cotangents]
    region: str | None = None
    contrasts: bool = False


def _sum(clean: CleanMasks, own_logit: torch.Tensor | None) -> Cotangents:
    return _on_masks(clean, torch.ones_like(clean.n_voxels))


AGGREGATIONS: dict[str, Aggregation] = {
    aggregation.name: aggregation
    for aggregation in (
        Aggregation("sum", True, _sum),
        Aggregation("mean", True, lambda clean, _: _on_masks(clean, 1 / clean.n_voxels)),
        Aggregation("probability", True, _probability),
        Aggregation("margin", True, _sum, contrasts=True),
        Aggregation("median", False, _median),
        Aggregation("roi", True, _roi, region=""),
    )
}


def parse_aggregation(text: str) -> Aggregation:
    """Return the aggregation of a name; ``roi:NAME`` is ``roi`` over the region of that name.

    Raises
    ------
    UsageError
        If there is none.
    """
    name, _, region = text.partition(":")
    if name not in AGGREGATIONS or (region and AGGREGATIONS[name].region is None):
        raise unknown_name("aggregation", text, AGGREGATIONS, beside="roi:NAME")
    return replace(AGGREGATIONS[name], region=region) if region else AGGREGATIONS[name]


def _known(text: str) -> str:
    parse_aggregation(text)
    return text


AggregationName = Annotated[str, AfterValidator(_known)]
"""Name of an aggregation, as a parameter."""


def choose_aggregation(name: str, roi: Mask | None) -> Aggregation:
    """Return the aggregation of a name, with or without a mask as it needs one.

    Raises
    ------
    UsageError
        If there is none, or if a mask is missing or given without use.
    """
    aggregation = parse_aggregation(name)
    if (aggregation.region is None) == (roi is None):
        return aggregation
    raise UsageError(
        "aggregation",
        got=f"{name!r} with{'' if roi is not None else 'out'} a mask",
        allowed="a mask with 'roi', and with nothing else",
        remedy="give roi=MASK together with aggregation='roi'",
    )
