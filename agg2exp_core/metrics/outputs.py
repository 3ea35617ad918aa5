"""Aggregated outputs of a perturbed scan, for all classes at once, and by how much they drop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from agg2exp_core.attribution import Problem
from agg2exp_core.attribution.masks import choose_aggregation
from agg2exp_core.errors import UsageError
from agg2exp_core.execution import fitting_windows
from agg2exp_core.metrics.metric import EvaluatedScan, OutputDrops
from agg2exp_core.prediction import sliding_logits

Outputs = NDArray[np.float64]
"""Aggregated outputs by class ``[L]``, or what windows add to them ``[n_windows, L]``."""


@dataclass(frozen=True, eq=False)
class Readout:
    """How a perturbed scan becomes one number a class.

    Parameters
    ----------
    clean : EvaluatedScan
        The scan, whose prediction fixes the masks.
    aggregation : str
        A linear one (Eq. 2).
    mask : {"fixed", "recomputed"}
        Whose argmax gives the masks: the clean scan's, or the perturbed one's own.
    output : {"logits", "probabilities"}
        What is summed inside them.

    Notes
    -----
    With fixed masks and logits the outputs are sums over windows, and a window in which nothing
    changes keeps its clean part. The other variants, those of the published code, need the stitched
    volume of each perturbed scan.
    """

    clean: EvaluatedScan
    aggregation: str = "sum"
    mask: str = "fixed"
    output: str = "logits"

    @cached_property
    def problem(self) -> Problem:
        """The scan as the engine sees it."""
        clean = self.clean
        aggregation = choose_aggregation(self.aggregation, None)
        return Problem.of(clean.model, clean.scan, clean.prediction, aggregation)

    @property
    def by_window(self) -> bool:
        """Whether outputs are sums over windows."""
        return (self.mask, self.output) == ("fixed", "logits")

    def output_drops(self, images: Iterable[torch.Tensor]) -> OutputDrops:
        """Return by how much the outputs of perturbed scans ``[C, X, Y, Z]`` drop.

        Returns
        -------
        ndarray of float64, shape [n, L]
            Of the clean scan less the perturbed one; NaN for classes without a voxel.
        """
        drop = self._drop_by_window if self.by_window else self._drop_of_volume
        rows = [drop(image) for image in images]
        drops = np.array(rows).reshape(len(rows), self.clean.model.n_classes)
        absent = np.bincount(self.clean.prediction.labels.ravel(), minlength=drops.shape[1]) == 0
        drops[:, absent] = np.nan
        return drops

    def _drop_by_window(self, image: torch.Tensor) -> Outputs:
        tiling = self.problem.tiling
        changed = tiling.pad((image != self.problem.image).any(dim=0, keepdim=True))[0]
        touched = [i for i, window in enumerate(tiling.windows) if bool(changed[window].any())]
        drop: Outputs = (self._clean_windows[touched] - self._windows(image, touched)).sum(axis=0)
        return drop

    @cached_property
    def _clean_windows(self) -> Outputs:
        return self._windows(self.problem.image, range(len(self.problem.tiling.windows)))

    def _windows(self, image: torch.Tensor, indices: Sequence[int]) -> Outputs:
        """Return what windows add to the outputs of a scan ``[n_windows, L]``."""
        problem, model = self.problem, self.clean.model
        cotangents = problem.cotangents()
        padded = problem.tiling.pad(image)
        needed = [n for n, i in enumerate(indices) if cotangents.present[i]]
        parts = torch.zeros((len(indices), model.n_classes), dtype=torch.float64, device=image.device)

        @torch.no_grad()
        def work(n_windows: int) -> None:
            for start in range(0, len(needed), n_windows):
                batch = needed[start : start + n_windows]
                windows = [problem.tiling.windows[indices[n]] for n in batch]
                inputs = torch.stack([padded[:, *window] for window in windows])
                logits = problem.logits(inputs, [indices[n] for n in batch])
                for n, window, of_window in zip(batch, windows, logits, strict=True):
                    inside = cotangents.inside(window, problem.blending.weight(window))
                    for c in cotangents.present[indices[n]]:
                        parts[n, c] = (inside(c) * of_window[c]).double().sum()

        fitting_windows(model, self.clean.execution.window_batch, work)
        return parts.cpu().numpy()

    def _drop_of_volume(self, image: torch.Tensor) -> Outputs:
        drop: Outputs = self._clean_volume - self._volume(image)
        return drop

    @cached_property
    def _clean_volume(self) -> Outputs:
        return self._volume(self.problem.image)

    @torch.no_grad()
    def _volume(self, image: torch.Tensor) -> Outputs:
        """Return the outputs of a scan from its stitched logits ``[L]``."""
        model = self.clean.model
        logits = fitting_windows(
            model,
            self.clean.execution.window_batch,
            lambda n: sliding_logits(model, image, window_batch=n),
        )
        labels = torch.as_tensor(self.clean.prediction.labels.astype(np.int64), device=logits.device)
        if self.mask == "recomputed":
            labels = model.decide(logits)
        values = logits.softmax(dim=0) if self.output == "probabilities" else logits
        own = values.gather(0, labels[None])[0].double()
        n_voxels = torch.bincount(labels.flatten(), minlength=model.n_classes)
        sums = torch.zeros(model.n_classes, dtype=torch.float64, device=logits.device)
        with model.arithmetic():
            sums.scatter_add_(0, labels.flatten(), own.flatten())
        if self.aggregation == "mean":
            sums /= n_voxels.clamp(min=1)
        return sums.cpu().numpy()


def check_readout(aggregation: str, mask: str, output: str) -> None:
    """Refuse combinations that have no meaning.

    Raises
    ------
    UsageError
        If an option is unknown, or the stitched variants are asked for weights of the clean scan.
    """
    stitched = mask == "recomputed" or output == "probabilities"
    allowed = ("sum", "mean") if stitched else ("sum", "mean", "probability", "margin")
    if aggregation not in allowed:
        raise UsageError(
            "aggregation",
            got=f"{aggregation!r} with mask={mask} and output={output}",
            allowed=", ".join(allowed),
            remedy="pick one of them",
        )
