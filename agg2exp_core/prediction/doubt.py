"""Signs that a segmentation may be poor, for each class, at no extra pass of the network.

All are sums over voxels that grow plane by plane, or window by window, while the scan is segmented.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from agg2exp_core.execution import Slab
from agg2exp_core.labels import BACKGROUND
from agg2exp_core.models.heads import MeanOfLogits
from agg2exp_core.types import FloatVolume, LabelVolume, SegmentationModel
from agg2exp_core.windows import Tiling

LOW_CONFIDENCE = 0.9
"""Probability of a voxel's own class under which the voxel counts as uncertain."""
_NOT_SEEN, _DIFFERENT = 0, -1
"""What windows said of a voxel, beside 1 + class where all said the same."""

Signs = dict[str, dict[str, float]]
"""Numbers by sign and class; classes that a sign says nothing of are left out."""


class Confidence:
    """How probable the model itself finds what it segments.

    `n_voxels`; `entropy` of the softmax, mean over the voxels of a class, in nats; `soft_dice`, the Dice that
    the softmax p expects of the label map, ``2 sum_{pred c} p_c / (n_c + sum_all p_c)``; `low_confidence`,
    the share of a class's voxels with a probability under `LOW_CONFIDENCE`. The last two are left out for
    classes that lie inside each other, among which the softmax does not choose.
    """

    def __init__(self, model: SegmentationModel) -> None:
        self._model = model
        self._n, self._entropy, self._own, self._low, self._total = np.zeros((5, model.n_classes))

    def add(
        self,
        logits: torch.Tensor,
        log_total: torch.Tensor,
        labels: LabelVolume,
        own_probability: FloatVolume,
    ) -> None:
        """Count planes: logits ``[L, n, Y, Z]``; their log-sum-exp, labels, own probability ``[n, Y, Z]``."""
        entropy = log_total.clone()  # -sum p log p = log sum exp(z) - sum p z
        for c, of_class in enumerate(logits):  # one by one, to spare memory
            probability = torch.exp(of_class - log_total)
            entropy -= probability * of_class
            self._total[c] += float(probability.sum(dtype=torch.float64))
        indices, n = labels.ravel(), self._model.n_classes
        self._n += np.bincount(indices, minlength=n)
        self._entropy += np.bincount(indices, entropy.cpu().numpy().ravel(), n)
        self._own += np.bincount(indices, own_probability.ravel(), n)
        self._low += np.bincount(indices[own_probability.ravel() < LOW_CONFIDENCE], minlength=n)

    def told(self) -> Signs:
        """Return the signs of the present classes."""
        names = self._model.class_names
        signs = {
            "n_voxels": _shares(names, self._n, self._n > 0),
            "entropy": _shares(names, self._entropy, self._n),
        }
        if self._model.decision == "argmax":
            signs["soft_dice"] = {
                name: value
                for name, value in _shares(names, 2 * self._own, self._n + self._total).items()
                if name in signs["entropy"]
            }
            signs["low_confidence"] = _shares(names, self._low, self._n)
        return signs


class Overlaps:
    """Whether windows that share voxels say the same of them, each on its own.

    `window_disagreement`: of the voxels of a class that two windows or more cover, the share of which they
    name different classes.
    """

    def __init__(self, model: SegmentationModel, tiling: Tiling) -> None:
        self._model, self._tiling = model, tiling
        like = torch.empty(0, dtype=torch.int16, device=model.device)
        self.seen = Slab.zeros(tiling, (1,), like)
        self._shared, self._differ = np.zeros((2, model.n_classes))

    def see(self, place: int, window: int, logits: torch.Tensor) -> None:
        """Note what a window says, by its logits ``[L, *window]``."""
        seen = self.seen.under(self._tiling.windows[window])[0]
        said = (self._model.decide(logits) + 1).to(seen.dtype)
        same = (seen == _NOT_SEEN) | (seen == said)
        seen[:] = torch.where(same, said, _DIFFERENT)

    def add(self, planes: slice, labels: LabelVolume, seen: torch.Tensor) -> None:
        """Count finished planes of the scan: labels, and what the windows said ``[n, Y, Z]``."""
        shared = self._tiling.n_covering(planes) > 1
        differ = shared & (seen.cpu().numpy() == _DIFFERENT)
        self._shared += np.bincount(labels[shared], minlength=self._model.n_classes)
        self._differ += np.bincount(labels[differ], minlength=self._model.n_classes)

    def told(self) -> Signs:
        """Return the sign of the classes of which any voxel is shared; of none where windows share none."""
        found = _shares(self._model.class_names, self._differ, self._shared)
        return {"window_disagreement": found} if found else {}


class Members:
    """Whether the members of an ensemble, or a network on mirrored windows, segment the same.

    `member_dice`: the mean over all pairs of members of the Dice between their label maps; pairs that both
    lack a class are left out. A member's label map is made of its windows without blending: each voxel is
    of the window whose centre is nearest. Of means within means the outermost counts. While in context, the
    model tells what its members say.
    """

    def __init__(self, model: SegmentationModel, tiling: Tiling) -> None:
        self._model, self._tiling = model, tiling
        means = (module for module in model.network.modules() if isinstance(module, MeanOfLogits))
        self._mean = next(means, None)
        n = 0 if self._mean is None else self._mean.n_members
        self._pairs = list(itertools.combinations(range(n), 2))
        self._sizes = torch.zeros(n, model.n_classes, dtype=torch.int64, device=model.device)
        self._shared = torch.zeros(len(self._pairs), model.n_classes, dtype=torch.int64, device=model.device)
        self._said: list[torch.Tensor] = []  # by member, [B, *window]

    def __enter__(self) -> Self:
        if self._mean is not None:
            self._mean.listener = self._hear
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._mean is not None:
            self._mean.listener = None

    def _hear(self, member: int, logits: torch.Tensor) -> None:
        """Note what a member says of a pass of windows, by its logits ``[B, L, *window]``."""
        by_class = logits.movedim(1, 0)
        if len(by_class) < self._model.n_classes:  # the background, which the head adds behind the mean
            by_class = torch.cat([torch.zeros_like(by_class[:1]), by_class])
        labels = self._model.decide(by_class).to(torch.int16)  # [B, *window]
        self._said = [*self._said[:member], labels]

    def see(self, place: int, window: int, logits: torch.Tensor) -> None:
        """Count the voxels of a window that are its own, of which the members have just been heard."""
        if not self._said:
            return
        own, n = self._tiling.nearest_voxels(window), self._model.n_classes
        said = [labels[place][own].flatten() for labels in self._said]
        for member, labels in enumerate(said):
            self._sizes[member] += torch.bincount(labels, minlength=n)
        for pair, (i, j) in enumerate(self._pairs):
            self._shared[pair] += torch.bincount(said[i][said[i] == said[j]], minlength=n)

    def told(self) -> Signs:
        """Return the sign of the classes that a member found; none of a model without members."""
        if not self._pairs:
            return {}
        sizes, shared = self._sizes.cpu().numpy(), self._shared.cpu().numpy()
        totals = np.array([sizes[i] + sizes[j] for i, j in self._pairs])  # [n_pairs, L]
        dice = 2 * shared / np.maximum(totals, 1)
        return {"member_dice": _shares(self._model.class_names, dice.sum(axis=0), (totals > 0).sum(axis=0))}


def fragments(labels: LabelVolume, class_names: Iterable[str]) -> dict[str, float]:
    """Return the share of each structure's voxels outside its largest connected part (26 neighbours).

    The background has none.
    """
    touching = np.ones((3, 3, 3), np.uint8)
    boxes: list[Any] = ndimage.find_objects(labels)  # of label 1, 2, ...
    found = {}
    for (index, name), box in zip(itertools.islice(enumerate(class_names), 1, None), boxes, strict=False):
        if box is not None and name != BACKGROUND:
            parts, _ = ndimage.label(labels[box] == index, touching)
            sizes = np.bincount(parts.ravel())[1:]
            found[name] = float(1 - sizes.max() / sizes.sum())
    return found


def _shares(names: Iterable[str], totals: NDArray[Any], counts: NDArray[Any]) -> dict[str, float]:
    return {name: float(t / n) for name, t, n in zip(names, totals, counts, strict=True) if n}
