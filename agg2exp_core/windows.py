"""Which windows cover a scan, and how much each of their voxels counts.

A scan smaller than a window is padded on both sides. In MONAI's grid the last window of an axis is moved
back to end with the scan; in nnU-Net's all of an axis are spread evenly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby, pairwise, product

import numpy as np
import torch
import torch.nn.functional as F
from monai.data.utils import compute_importance_map, dense_patch_slices
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from agg2exp_core.types import Shape3, WindowSettings

Window = tuple[slice, slice, slice]
"""The voxels of one window in the padded scan."""


@dataclass(frozen=True)
class Row:
    """The windows over the same planes of the first axis.

    Parameters
    ----------
    planes : slice
        Of the padded scan.
    indices : range
        Which windows.
    n_finished : int
        How many of the planes, from the first, no later window covers.
    """

    planes: slice
    indices: range
    n_finished: int

    def batches(self, window_batch: int) -> Iterator[range]:
        """Yield the indices of the windows that pass the network together.

        The batches depend on nothing but the grid: whichever classes are asked for, a window
        always meets the same companions, so its numbers are the same bit for bit.
        """
        starts = range(self.indices.start, self.indices.stop, window_batch)
        return (range(i, min(i + window_batch, self.indices.stop)) for i in starts)

    def n_batches(self, window_batch: int) -> int:
        """Return the number of batches."""
        return math.ceil(len(self.indices) / window_batch)


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
        if self.settings.grid == "nnunet":
            pairs = zip(self.padded_shape, self.settings.shape, strict=True)
            axes = [_spread(n, w, self.settings.overlap) for n, w in pairs]
            return tuple((x, y, z) for x, y, z in product(*axes))
        steps = [
            n if n == w else max(int(w * (1 - self.settings.overlap)), 1)
            for n, w in zip(self.padded_shape, self.settings.shape, strict=True)
        ]
        slices = dense_patch_slices(self.padded_shape, self.settings.shape, steps)
        return tuple((x, y, z) for x, y, z in slices)

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The windows by their planes, in the order in which they sweep along the first axis."""
        indices = groupby(range(len(self.windows)), key=lambda i: self.windows[i][0].start)
        groups = [(start, list(group)) for start, group in indices]
        # a plane is finished once the next row of windows begins behind it
        stops = [start for start, _ in groups[1:]] + [self.padded_shape[0]]
        n_planes = self.settings.shape[0]
        return tuple(
            Row(slice(start, start + n_planes), range(group[0], group[-1] + 1), stop - start)
            for (start, group), stop in zip(groups, stops, strict=True)
        )

    def planes_of_scan(self, planes: slice) -> slice:
        """Return which of the scan's own planes lie among those of the padded scan."""
        first = self.interior[0]
        return slice(max(planes.start, first.start) - first.start, min(planes.stop, first.stop) - first.start)

    def n_covering(self, planes: slice) -> NDArray[np.int64]:
        """Return how many windows cover each voxel of planes of the scan ``[n, Y, Z]``."""
        x, y, z = (counts[inner] for counts, inner in zip(self._n_along, self.interior, strict=True))
        covering: NDArray[np.int64] = x[planes, None, None] * y[:, None] * z
        return covering

    @cached_property
    def _n_along(self) -> list[NDArray[np.int64]]:
        """How many windows cover each place of an axis: the grid is a product of axes."""
        counts = [np.zeros(n, np.int64) for n in self.padded_shape]
        for axis, of_axis in enumerate(counts):
            for start, stop in {(w[axis].start, w[axis].stop) for w in self.windows}:
                of_axis[start:stop] += 1
        return counts

    def nearest_voxels(self, index: int) -> Window:
        """Return the voxels, within a window, to whose centre no other window's centre is nearer.

        Each voxel of the scan is one window's; between two centres it is the earlier one's.
        """
        own = []
        for axis, part in enumerate(self.windows[index]):
            starts = self._starts[axis]
            place = starts.index(part.start)
            # halfway between the centres of two neighbours
            middles = [(a + b + self.settings.shape[axis] + 1) // 2 for a, b in pairwise(starts)]
            limits = [0, *middles, self.padded_shape[axis]]
            first = max(limits[place], self.interior[axis].start) - part.start
            last = min(limits[place + 1], self.interior[axis].stop) - part.start
            own.append(slice(first, max(first, last)))
        x, y, z = own
        return x, y, z

    @cached_property
    def _starts(self) -> list[list[int]]:
        return [sorted({window[axis].start for window in self.windows}) for axis in range(3)]

    def pad(self, volume: torch.Tensor, value: float = 0) -> torch.Tensor:
        """Return ``[..., n, Y, Z]``, all the scan's planes or those under a row, padded with `value`."""
        if self.padded_shape == self.scan_shape:
            return volume
        margins: list[int] = []
        # F.pad takes the last axis first
        for inner, padded in zip(reversed(self.interior), reversed(self.padded_shape), strict=True):
            margins += [inner.start, padded - inner.stop]
        return F.pad(volume, margins, value=value)

    def crop(self, padded: torch.Tensor) -> torch.Tensor:
        """Return the scan's part of a padded ``[..., X, Y, Z]``."""
        return padded[(..., *self.interior)]

    def gather(self, slab: torch.Tensor, batch: Sequence[int]) -> torch.Tensor:
        """Return windows of one row as one tensor ``[B, C, *window]``, from its planes ``[C, n, Y, Z]``."""
        return torch.stack([slab[..., self.windows[i][1], self.windows[i][2]] for i in batch])

    def blending(self, device: torch.device, dtype: torch.dtype) -> Blending:
        """Return the weights ``I / N`` of this grid."""
        if (self.settings.grid, self.settings.blend) == ("nnunet", "gaussian"):
            return Blending(_nnunet_gaussian(self.settings).to(device, dtype), self)
        importance = compute_importance_map(
            self.settings.shape,
            mode=self.settings.blend,
            sigma_scale=self.settings.sigma_scale,
            device=device,
            dtype=dtype,
        )
        return Blending(importance, self)


def _spread(n: int, window: int, overlap: float) -> list[slice]:
    """Return nnU-Net's tiles of an axis: as few as the step allows, at even distances."""
    n_steps = math.ceil((n - window) / (window * round(1 - overlap, 12)))  # the step as it was written
    starts = [round((n - window) / n_steps * i) for i in range(n_steps + 1)] if n_steps else [0]
    return [slice(start, start + window) for start in starts]


def _nnunet_gaussian(settings: WindowSettings) -> torch.Tensor:
    """Return nnU-Net's importance ``[*window]``: a filtered impulse, nowhere zero, with peak 1."""
    axes = []
    for n in settings.shape:  # a Gaussian is separable: one axis at a time
        impulse = np.zeros(n)
        impulse[n // 2] = 1
        axes.append(gaussian_filter1d(impulse, n * settings.sigma_scale, mode="constant"))
    x, y, z = axes
    importance = x[:, None, None] * y[:, None] * z  # [*window]
    importance /= importance.max()
    return torch.from_numpy(np.maximum(importance, importance[importance > 0].min()))


@dataclass(frozen=True, eq=False)
class Blending:
    """How windows are blended: ``f(x) = sum_w (I / N) * net(x_w)``.

    Parameters
    ----------
    importance : torch.Tensor, shape [*window]
        I: importance of a window's own voxels.
    tiling : Tiling
        The windows.
    """

    importance: torch.Tensor
    tiling: Tiling
    _last: dict[int, torch.Tensor] = field(default_factory=dict, init=False, repr=False)

    def total(self, planes: slice) -> torch.Tensor:
        """Return N, the summed importance of all windows over a voxel, in a row's planes ``[n, Y, Z]``.

        The planes asked for last are kept.
        """
        if planes.start not in self._last:
            self._last.clear()
            self._last[planes.start] = self._sum(planes)
        return self._last[planes.start]

    def _sum(self, planes: slice) -> torch.Tensor:
        shape = (planes.stop - planes.start, *self.tiling.padded_shape[1:])
        total = self.importance.new_zeros(shape)
        for x, y, z in self.tiling.windows:
            first, last = max(x.start, planes.start), min(x.stop, planes.stop)
            if first < last:
                part = self.importance[first - x.start : last - x.start]
                total[first - planes.start : last - planes.start, y, z] += part
        return total

    def weight(self, window: Window) -> torch.Tensor:
        """Return ``I / N`` inside one window ``[*window]``."""
        x, y, z = window
        return self.importance / self.total(x)[:, y, z]
