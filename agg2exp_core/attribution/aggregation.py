"""From the logits of a class to one number: the aggregated model output (Eq. 2).

Every aggregation is an inner product ``<u_c, f_c(x)>`` with a cotangent `u_c` that is zero outside
the class's mask, and the masks are fixed from the clean scan. Since no voxel is of two classes,
the cotangents of all classes lie in one volume: `weight`, read through the label map.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from agg2exp_core.errors import UsageError
from agg2exp_core.types import Mask, Prediction
from agg2exp_core.windows import Tiling, Window

NO_CLASS = -1
"""Label of padding: no class, no weight."""


@dataclass(frozen=True, eq=False)
class Cotangents:
    """The cotangents of all classes over one padded scan.

    Parameters
    ----------
    labels : torch.Tensor or None, shape [*padded scan]
        Class of each voxel on the clean scan, `NO_CLASS` in the padding; None where all classes
        share one mask.
    weight : torch.Tensor, shape [*padded scan]
        ``u_c`` at the voxels of c, whichever class c they belong to.
    n_classes : int
        L, background included.
    windows : tuple
        The windows over the padded scan.
    """

    labels: torch.Tensor | None
    weight: torch.Tensor
    n_classes: int
    windows: tuple[Window, ...]

    def read(self, class_index: int, window: Window) -> torch.Tensor:
        """Return ``u_c`` inside a window ``[*window]``."""
        weight = self.weight[window]
        return weight if self.labels is None else weight * (self.labels[window] == class_index)

    @cached_property
    def present(self) -> tuple[frozenset[int], ...]:
        """The classes of each window whose cotangent is not zero throughout it."""
        return tuple(self._classes_in(window) for window in self.windows)

    def _classes_in(self, window: Window) -> frozenset[int]:
        weighted = self.weight[window] != 0
        if self.labels is None:
            return frozenset(range(self.n_classes)) if bool(weighted.any()) else frozenset()
        return frozenset(torch.unique(self.labels[window][weighted]).tolist())


@dataclass(frozen=True, eq=False)
class Clean:
    """What is fixed from the clean scan, padded, on the model's device.

    Parameters
    ----------
    labels : torch.Tensor, shape [*padded scan]
        Predicted classes, `NO_CLASS` in the padding.
    own_probability : torch.Tensor, shape [*padded scan]
        Softmax probability of each voxel's own class, 0 in the padding.
    roi : torch.Tensor or None, shape [*padded scan]
        A mask to explain in place of the predicted ones.
    n_classes : int
        L, background included.
    windows : tuple
        The windows over the padded scan.
    """

    labels: torch.Tensor
    own_probability: torch.Tensor
    roi: torch.Tensor | None
    n_classes: int
    windows: tuple[Window, ...]

    @classmethod
    def of(cls, prediction: Prediction, roi: Mask | None, tiling: Tiling, like: torch.Tensor) -> Clean:
        """Pad and move a prediction to where the image `like` is, in its type."""
        labels = torch.as_tensor(prediction.labels.astype(np.int16), device=like.device)
        probability = torch.as_tensor(prediction.own_probability).to(like)
        return cls(
            labels=tiling.pad(labels, NO_CLASS),
            own_probability=tiling.pad(probability),
            roi=None if roi is None else tiling.pad(torch.as_tensor(roi).to(like)),
            n_classes=len(prediction.class_names),
            windows=tiling.windows,
        )

    @property
    def present(self) -> frozenset[int]:
        """The classes that have a voxel to explain; with a mask in their place, all of them."""
        if self.roi is not None:
            return frozenset(range(self.n_classes)) if bool(self.roi.any()) else frozenset()
        return frozenset(torch.unique(self.labels[self.labels >= 0]).tolist())

    def per_class(self, values: torch.Tensor) -> torch.Tensor:
        """Sum ``[*padded scan]`` over the voxels of each class, float64 ``[L]``."""
        inside = self.labels >= 0
        sums = torch.zeros(self.n_classes, dtype=torch.float64, device=values.device)
        return sums.index_add_(0, self.labels[inside].long(), values[inside].double())

    def spread(self, per_class: torch.Tensor) -> torch.Tensor:
        """Return the value ``[L]`` of each voxel's class, 0 in the padding, ``[*padded scan]``."""
        table = torch.cat([per_class.to(self.own_probability), self.own_probability.new_zeros(1)])
        return table[self.labels.long()]  # the padding's index -1 reads the last entry


def _sum(clean: Clean, own_logit: torch.Tensor | None) -> torch.Tensor:
    return torch.ones_like(clean.own_probability)


def _mean(clean: Clean, own_logit: torch.Tensor | None) -> torch.Tensor:
    return clean.spread(1 / clean.per_class(torch.ones_like(clean.own_probability)))


def _probability(clean: Clean, own_logit: torch.Tensor | None) -> torch.Tensor:
    return clean.own_probability * clean.spread(1 / clean.per_class(clean.own_probability))


def _roi(clean: Clean, own_logit: torch.Tensor | None) -> torch.Tensor:
    assert clean.roi is not None
    return clean.roi


def _median(clean: Clean, own_logit: torch.Tensor | None) -> torch.Tensor:
    assert own_logit is not None
    weight = torch.zeros_like(own_logit)
    flat_labels = clean.labels.flatten()
    for class_index in torch.unique(flat_labels[flat_labels >= 0]).tolist():
        voxels = torch.nonzero(flat_labels == class_index).flatten()
        order = torch.argsort(own_logit.flatten()[voxels], stable=True)
        middle = voxels[order[(len(order) - 1) // 2 : len(order) // 2 + 1]]  # one voxel, or two
        weight.view(-1)[middle] = 1 / len(middle)
    return weight


@dataclass(frozen=True)
class Aggregation:
    """How the logits of a class become one number.

    Parameters
    ----------
    name : str
        As in ``aggregation=``.
    linear : bool
        Whether the cotangent is fixed once the clean scan is given.
    weight : callable
        From what is clean, and for what is not linear the own-class logits of the scan at hand,
        to `Cotangents.weight`.
    """

    name: str
    linear: bool
    weight: Callable[[Clean, torch.Tensor | None], torch.Tensor]

    def cotangents(self, clean: Clean, own_logit: torch.Tensor | None = None) -> Cotangents:
        """Return the cotangents of all classes; see `weight`."""
        labels = None if clean.roi is not None else clean.labels
        return Cotangents(labels, self.weight(clean, own_logit), clean.n_classes, clean.windows)


AGGREGATIONS: dict[str, Aggregation] = {
    aggregation.name: aggregation
    for aggregation in (
        Aggregation("sum", True, _sum),
        Aggregation("mean", True, _mean),
        Aggregation("probability", True, _probability),
        Aggregation("median", False, _median),
        Aggregation("roi", True, _roi),
    )
}


def parse_aggregation(name: str) -> Aggregation:
    """Return the aggregation of a name; ``roi:NAME`` is ``roi`` over the region of that name.

    Raises
    ------
    UsageError
        If there is none.
    """
    kind, _, region = name.partition(":")
    if kind not in AGGREGATIONS or (region and kind != "roi"):
        raise UsageError(
            "aggregation",
            got=f"{name!r}",
            allowed=", ".join(AGGREGATIONS),
            remedy="pick one of them (roi:NAME for a named region)",
        )
    return AGGREGATIONS[kind]


def choose_aggregation(name: str, roi: Mask | None) -> Aggregation:
    """Return the aggregation of a name, with or without a mask as it needs one.

    Raises
    ------
    UsageError
        If there is none, or if a mask is missing or given without use.
    """
    aggregation = parse_aggregation(name)
    if (aggregation.name == "roi") != (roi is not None):
        raise UsageError(
            "aggregation",
            got=f"{name!r} with{'' if roi is not None else 'out'} a mask",
            allowed="a mask with 'roi', and with nothing else",
            remedy="give roi=MASK together with aggregation='roi'",
        )
    return aggregation
