"""From the logits of a class to one number: the aggregated model output (Eq. 2).

Every aggregation is an inner product ``<u_c, f_c(x)>`` with a cotangent `u_c` that is zero outside
the class's mask, and the masks are fixed from the clean scan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from agg2exp_core.attribution.cotangents import NO_CLASS, Cotangents, MaskCotangents, PointCotangents
from agg2exp_core.errors import UsageError
from agg2exp_core.types import Mask, Prediction
from agg2exp_core.windows import Tiling


@dataclass(frozen=True, eq=False)
class Clean:
    """What is fixed from the clean scan, padded, on the model's device.

    Parameters
    ----------
    prediction : Prediction
        What the model segments in it.
    labels : torch.Tensor, shape [*padded scan]
        Predicted classes, `NO_CLASS` in the padding.
    roi : torch.Tensor or None, shape [*padded scan]
        A mask to explain in place of the predicted ones.
    tiling : Tiling
        The windows.
    like : torch.Tensor
        Of the model's type, on its device.
    """

    prediction: Prediction
    labels: torch.Tensor
    roi: torch.Tensor | None
    tiling: Tiling
    like: torch.Tensor

    @classmethod
    def of(cls, prediction: Prediction, roi: Mask | None, tiling: Tiling, like: torch.Tensor) -> Clean:
        """Pad and move a prediction to where the image `like` is, in its type."""
        labels = torch.as_tensor(prediction.labels.astype(np.int16), device=like.device)
        return cls(
            prediction=prediction,
            labels=tiling.pad(labels, NO_CLASS),
            roi=None if roi is None else tiling.pad(torch.as_tensor(roi).to(like)),
            tiling=tiling,
            like=like.new_empty(0),
        )

    @property
    def n_classes(self) -> int:
        """L, background included."""
        return len(self.prediction.class_names)

    @property
    def own_probability(self) -> torch.Tensor:
        """Softmax probability of each voxel's own class, 0 in the padding ``[*padded scan]``."""
        return self.tiling.pad(torch.as_tensor(self.prediction.own_probability).to(self.like))

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
        sums = torch.zeros(self.n_classes, dtype=torch.float64, device=self.labels.device)
        for n, labels in enumerate(self.labels):  # plane by plane, so that no copy of the scan is made
            inside = labels >= 0
            index = labels[inside].long()
            values = torch.ones_like(index) if volume is None else volume[n][inside]
            sums.index_add_(0, index, values.double())
        return sums


def _on_masks(clean: Clean, factors: torch.Tensor, volume: torch.Tensor | None = None) -> Cotangents:
    return MaskCotangents(clean.labels, factors.to(clean.like), volume, clean.tiling.windows)


def _sum(clean: Clean, own_logit: torch.Tensor | None) -> Cotangents:
    return _on_masks(clean, torch.ones_like(clean.n_voxels))


def _mean(clean: Clean, own_logit: torch.Tensor | None) -> Cotangents:
    return _on_masks(clean, 1 / clean.n_voxels)


def _probability(clean: Clean, own_logit: torch.Tensor | None) -> Cotangents:
    probability = clean.own_probability
    return _on_masks(clean, 1 / clean.per_class(probability), probability)


def _roi(clean: Clean, own_logit: torch.Tensor | None) -> Cotangents:
    assert clean.roi is not None
    return MaskCotangents(None, clean.like.new_ones(clean.n_classes), clean.roi, clean.tiling.windows)


def _median(clean: Clean, own_logit: torch.Tensor | None) -> Cotangents:
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
    """

    name: str
    linear: bool
    cotangents: Callable[[Clean, torch.Tensor | None], Cotangents]


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
