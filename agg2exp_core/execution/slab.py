"""Sums over windows, held in a slab as thick as a window: finished planes leave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from agg2exp_core.windows import Row, Tiling, Window

PLANES_AT_ONCE = 16
"""Finished planes that leave together: as many as a stored chunk has, and cut where chunks are."""


@dataclass(frozen=True, eq=False)
class Slab:
    """Sums in the planes under one row of windows, row after row.

    Parameters
    ----------
    tiling : Tiling
        The windows over the scan.
    values : torch.Tensor, shape [..., wx, *padded Y and Z]
        The sums; wx is the thickness of a window.
    """

    tiling: Tiling
    values: torch.Tensor

    @classmethod
    def zeros(cls, tiling: Tiling, leading: Sequence[int], like: torch.Tensor) -> Slab:
        """Return the slab under the first row, with leading axes of some lengths and `like`'s type."""
        return cls(tiling, like.new_zeros((*leading, tiling.settings.shape[0], *tiling.padded_shape[1:])))

    def under(self, window: Window) -> torch.Tensor:
        """Return the view ``[..., *window]`` of a window of the row."""
        return self.values[(..., *window[1:])]

    def leaving(self, row: Row) -> Iterator[tuple[slice, torch.Tensor]]:
        """Yield the planes that no later window covers, then move on to the next row.

        Yields
        ------
        slice
            Planes of the scan, in order, each once.
        torch.Tensor, shape [..., n, Y, Z]
            Their sums without padding: a view that the next step overwrites.
        """
        finished = slice(row.planes.start, row.planes.start + row.n_finished)
        of_scan = self.tiling.planes_of_scan(finished)
        # planes of the scan lie behind the padding, in a slab that begins with this row of windows
        shift = self.tiling.interior[0].start - row.planes.start
        start = of_scan.start
        while start < of_scan.stop:
            stop = min(start - start % PLANES_AT_ONCE + PLANES_AT_ONCE, of_scan.stop)
            inside = (slice(start + shift, stop + shift), *self.tiling.interior[1:])
            yield slice(start, stop), self.values[(..., *inside)]
            start = stop
        n_left = self.values.shape[-3] - row.n_finished
        for volume in self.values.flatten(0, -4):  # one by one, so that no copy of all is made
            volume[:n_left] = volume[row.n_finished :].clone()
            volume[n_left:] = 0
