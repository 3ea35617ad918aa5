"""Parts of a scan that are switched on and off together: the players of the Shapley methods.

A partition is an integer volume, the id of each voxel's player; padding is no player.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import count

import torch

from agg2exp_core.windows import Tiling

NO_PLAYER = -1
"""Id of padding."""


def cubes(shape: Sequence[int], side: int, device: torch.device) -> torch.Tensor:
    """Return the players that are cubes.

    Parameters
    ----------
    shape : sequence of int
        Of the scan, ``(X, Y, Z)``.
    side : int
        Voxels along each edge. Cubes start at voxel 0 of each axis; the last one is what remains.
    device : torch.device
        Where they are wanted.

    Returns
    -------
    torch.Tensor of int32, shape [X, Y, Z]
        Ids from 0, the last axis running fastest, each used for one cube.
    """
    _, n_y, n_z = cubes_per_axis(shape, side)
    x, y, z = (torch.arange(n, dtype=torch.int32, device=device) // side for n in shape)
    return (x[:, None, None] * n_y + y[:, None]) * n_z + z


def cubes_per_axis(shape: Sequence[int], side: int) -> tuple[int, ...]:
    """Return how many cubes of a side cover each axis."""
    return tuple(math.ceil(n / side) for n in shape)


def side_for(shape: Sequence[int], n_cubes: int) -> int:
    """Return the smallest side, one for all axes, that gives no more than `n_cubes` cubes."""
    return next(side for side in count(1) if math.prod(cubes_per_axis(shape, side)) <= n_cubes)


def cubes_in_windows(tiling: Tiling, side: int) -> list[int]:
    """Return how many cubes meet each window; padding meets none."""
    return [
        math.prod(
            len({voxel // side for voxel in range(max(w.start - s.start, 0), min(w.stop, s.stop) - s.start)})
            for w, s in zip(window, tiling.interior, strict=True)
        )
        for window in tiling.windows
    ]
