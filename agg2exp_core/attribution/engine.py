"""Derivatives of the sliding-window model with respect to the scan, window by window.

``e_c = sum_w J_w^T (I / N * u_c)``: the gradient through the stitched volume, without ever holding
its graph. One forward pass of a window serves all its classes, and a class without a voxel in a
window costs nothing there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from agg2exp_core.attribution.aggregation import Aggregation, Clean, Cotangents
from agg2exp_core.types import SegmentationModel
from agg2exp_core.windows import Blending, Tiling

Progress = Callable[[int, int], None]
"""Called with the number of window batches done and their total."""


@dataclass(frozen=True, eq=False)
class Problem:
    """One scan, one model, one aggregation: what a method is asked to explain.

    Parameters
    ----------
    model : SegmentationModel
        The model.
    image : torch.Tensor, shape [C, X, Y, Z]
        The clean scan in the model's type, on its device.
    tiling : Tiling
        The windows over it.
    clean : Clean
        The masks, fixed.
    aggregation : Aggregation
        How logits become one number a class.
    window_batch : int
        Windows per pass of the network.
    noise_address : tuple
        The seed and the scan's id: where its noise comes from.
    progress : callable
        Told how far the work is.
    """

    model: SegmentationModel
    image: torch.Tensor
    tiling: Tiling
    clean: Clean
    aggregation: Aggregation
    window_batch: int = 1
    noise_address: tuple[object, ...] = ()
    progress: Progress = lambda done, total: None

    @cached_property
    def blending(self) -> Blending:
        """The weights ``I / N``."""
        return self.tiling.blending(self.image.device, self.image.dtype)

    @cached_property
    def _fixed_cotangents(self) -> Cotangents:
        return self.aggregation.cotangents(self.clean)

    def cotangents(self, image: torch.Tensor) -> Cotangents:
        """Return the cotangents for a scan ``[C, X, Y, Z]``, clean or perturbed."""
        if self.aggregation.linear:
            return self._fixed_cotangents
        return self.aggregation.cotangents(self.clean, self._own_logit(image))

    @torch.no_grad()
    def _own_logit(self, image: torch.Tensor) -> torch.Tensor:
        """Logit of each voxel's class of the clean scan, ``[*padded scan]``."""
        padded = self.tiling.pad(image)
        stitched = padded.new_zeros(self.tiling.padded_shape)
        for batch in self.tiling.batches(self.window_batch):
            logits = self.model.logits(self.tiling.gather(padded, batch))  # [B, L, *window]
            for i, of_window in zip(batch, logits, strict=True):
                window = self.tiling.windows[i]
                own = self.clean.labels[window].clamp(min=0).long()[None]
                stitched[window] += of_window.gather(0, own)[0] * self.blending.weight(window)
        return stitched

    @property
    def n_batches(self) -> int:
        """The number of window batches over the scan."""
        return math.ceil(len(self.tiling.windows) / self.window_batch)

    @torch.no_grad()
    def outputs(self, image: torch.Tensor, classes: Sequence[int]) -> torch.Tensor:
        """Return the aggregated outputs ``f_hat_c`` of a scan, float64 ``[len(classes)]``."""
        cotangents = self.cotangents(image)
        padded = self.tiling.pad(image)
        totals = torch.zeros(len(classes), dtype=torch.float64)
        for batch in self.tiling.batches(self.window_batch):
            if not any(cotangents.present[i].intersection(classes) for i in batch):
                continue
            logits = self.model.logits(self.tiling.gather(padded, batch))
            for i, of_window in zip(batch, logits, strict=True):
                window = self.tiling.windows[i]
                weight = self.blending.weight(window)
                for k, c in enumerate(classes):
                    if c in cotangents.present[i]:
                        term = cotangents.read(c, window) * weight * of_window[c]
                        totals[k] += term.double().sum().cpu()
        return totals

    def gradients(self, image: torch.Tensor, classes: Sequence[int]) -> torch.Tensor:
        """Return the gradient of each class's aggregated output ``[K, C, X, Y, Z]``.

        Parameters
        ----------
        image : torch.Tensor, shape [C, X, Y, Z]
            The scan to differentiate at, clean or perturbed; the masks stay the clean scan's.
        classes : sequence of int
            The K classes.
        """
        total = image.new_zeros((len(classes), image.shape[0], *self.tiling.padded_shape))
        self.add_gradients(image, classes, total)
        return self.tiling.crop(total)

    @torch.enable_grad()
    def add_gradients(
        self,
        image: torch.Tensor,
        classes: Sequence[int],
        into: torch.Tensor,
        *,
        scale: float = 1.0,
        on_batch: Callable[[], None] = lambda: None,
    ) -> torch.Tensor:
        """Add the gradient of each class's aggregated output to `into`, times `scale`.

        Parameters
        ----------
        image : torch.Tensor, shape [C, X, Y, Z]
            The scan to differentiate at, clean or perturbed; the masks stay the clean scan's.
        classes : sequence of int
            The K classes.
        into : torch.Tensor, shape [K, C, *padded scan]
            Where to add; the padding's part is no part of the scan.
        scale : float
            Factor of this contribution.
        on_batch : callable
            Called after each batch of windows.

        Returns
        -------
        torch.Tensor, shape [K]
            The aggregated outputs themselves, float64, times `scale`.

        Notes
        -----
        In round r every window of a batch back-propagates its own r-th class: windows do not
        meet in the network, so one backward pass serves as many classes as there are windows.
        """
        cotangents = self.cotangents(image)
        padded = self.tiling.pad(image)
        outputs = torch.zeros(len(classes), dtype=torch.float64, device=image.device)
        for batch in self.tiling.batches(self.window_batch):
            wanted = [[k for k, c in enumerate(classes) if c in cotangents.present[i]] for i in batch]
            n_rounds = max(map(len, wanted))
            if n_rounds == 0:
                on_batch()
                continue
            inputs = self.tiling.gather(padded, batch).requires_grad_()
            logits = self.model.logits(inputs)  # [B, L, *window]
            values = logits.detach()
            weights = [self.blending.weight(self.tiling.windows[i]) * scale for i in batch]
            for r in range(n_rounds):
                members = [(b, ks[r]) for b, ks in enumerate(wanted) if r < len(ks)]
                upstream = torch.zeros_like(logits)
                for b, k in members:
                    window = self.tiling.windows[batch[b]]
                    cotangent = cotangents.read(classes[k], window) * weights[b]
                    upstream[b, classes[k]] = cotangent
                    outputs[k] += (cotangent * values[b, classes[k]]).double().sum()
                (gradient,) = torch.autograd.grad(logits, inputs, upstream, retain_graph=r + 1 < n_rounds)
                for b, k in members:
                    into[(k, slice(None), *self.tiling.windows[batch[b]])] += gradient[b]
            on_batch()
        return outputs
