"""Which windows cover a scan, and how much each of their voxels counts.

The grid is MONAI's: a scan smaller than a window is padded on both sides, and the last window of
an axis is moved back to end with the scan.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from monai.data.utils import compute_importance_map, dense_patch_slices

from agg2exp_core.types import Shape3, WindowSettings

Window = tuple[slice, slice, slice]
"""The voxels of one window in the padded scan."""


@dataclass(frozen=True)
class Tiling:
    """The windows over one scan.

    Parameters
    ----------
    settings : WindowSettings
        Shape, overlap and blending of the windows.
    scan_shape : tuple of int
        Voxels of the scan along each axis ``(X, Y, Z)``.
    """

    settings: WindowSettings
    scan_shape: Shape3

    @cached_property
    def padded_shape(self) -> Shape3:
        """Voxels along each axis once the scan is at least as large as a window."""
        x, y, z = (max(n, w) for n, w in zip(self.scan_shape, self.settings.shape, strict=True))
        return x, y, z

    @cached_property
    def interior(self) -> Window:
        """Where the scan lies in the padded scan."""
        starts = ((p - n) // 2 for p, n in zip(self.padded_shape, self.scan_shape, strict=True))
        x, y, z = (slice(s, s + n) for s, n in zip(starts, self.scan_shape, strict=True))
        return x, y, z

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        """All windows, the last axis running fastest."""
        steps = [
            n if n == w else max(int(w * (1 - self.settings.overlap)), 1)
            for n, w in zip(self.padded_shape, self.settings.shape, strict=True)
        ]
        slices = dense_patch_slices(self.padded_shape, self.settings.shape, steps)
        return tuple((x, y, z) for x, y, z in slices)

    def batches(self, window_batch: int) -> Iterator[range]:
        """Yield the indices of the windows that pass the network together.

        The batches depend on nothing but the grid: whichever classes are asked for, a window
        always meets the same companions, so its numbers are the same bit for bit.
        """
        n = len(self.windows)
        return (range(i, min(i + window_batch, n)) for i in range(0, n, window_batch))

    def pad(self, volume: torch.Tensor, value: float = 0) -> torch.Tensor:
        """Return ``[..., X, Y, Z]`` padded to `padded_shape` with `value`."""
        if self.padded_shape == self.scan_shape:
            return volume
        margins: list[int] = []
        for inner, padded in zip(reversed(self.interior), reversed(self.padded_shape), strict=True):
            margins += [inner.start, padded - inner.stop]
        return F.pad(volume, margins, value=value)

    def crop(self, padded: torch.Tensor) -> torch.Tensor:
        """Return the scan's part of a padded ``[..., X, Y, Z]``."""
        return padded[(..., *self.interior)]

    def gather(self, padded: torch.Tensor, batch: Sequence[int]) -> torch.Tensor:
        """Return the windows of `batch` as one tensor ``[B, C, *window]``."""
        return torch.stack([padded[(slice(None), *self.windows[i])] for i in batch])

    def blending(self, device: torch.device, dtype: torch.dtype) -> Blending:
        """Return the weights ``I / N`` of this grid."""
        importance = compute_importance_map(
            self.settings.shape,
            mode=self.settings.blend,
            sigma_scale=self.settings.sigma_scale,
            device=device,
            dtype=dtype,
        )
        total = torch.zeros(self.padded_shape, device=device, dtype=dtype)
        for window in self.windows:
            total[window] += importance
        return Blending(importance, total)


@dataclass(frozen=True, eq=False)
class Blending:
    """How windows are blended: ``f(x) = sum_w (I / N) * net(x_w)``.

    Parameters
    ----------
    importance : torch.Tensor, shape [*window]
        I: importance of a window's own voxels.
    total : torch.Tensor, shape [*padded scan]
        N: summed importance of all windows over a voxel.
    """

    importance: torch.Tensor
    total: torch.Tensor

    def weight(self, window: Window) -> torch.Tensor:
        """Return ``I / N`` inside one window ``[*window]``."""
        return self.importance / self.total[window]
