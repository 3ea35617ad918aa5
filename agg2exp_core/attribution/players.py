"""What the Shapley methods share: who the players are, and from their values to voxels.

Players are parts of a scan that are switched on and off together. A partition into players is an
integer volume, the id of each voxel's player; padding is no player.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from agg2exp_core.attribution.baselines import Baseline, baseline_image
from agg2exp_core.attribution.coalitions import Values
from agg2exp_core.attribution.games import MaskedScan
from agg2exp_core.attribution.interactions import PairSums
from agg2exp_core.attribution.masks import AGGREGATIONS, AggregationName, parse_aggregation
from agg2exp_core.attribution.method import Explained, Geometry, Method
from agg2exp_core.attribution.problem import Problem
from agg2exp_core.errors import UsageError
from agg2exp_core.types import LabelVolume
from agg2exp_core.windows import Tiling

CUBE_SIDE = 128
"""Voxels: 192 mm at 1.5 mm."""
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


@dataclass(frozen=True, eq=False)
class Outcome:
    """Values of the players of a whole scan, for all classes together.

    Parameters
    ----------
    values, variances : ndarray of float64, shape [n_ids, L]
        Shapley values, and the variances of their sampling.
    rises : ndarray of float64, shape [L]
        ``f_hat_c(x) - f_hat_c(x')``: of the clean scan less its baseline.
    n_passes : ndarray of int64, shape [L]
        Window passes that each class needs; classes share them.
    exact_windows, exact_mass : ndarray of float64, shape [L]
        Shares, of those windows and of the total absolute value in them, that were solved exactly.
    pairs : PairSums or None
        How players act together, where it is known.
    """

    values: Values
    variances: Values
    rises: NDArray[np.float64]
    n_passes: NDArray[np.int64]
    exact_windows: NDArray[np.float64]
    exact_mass: NDArray[np.float64]
    pairs: PairSums | None = None

    def info(self, c: int) -> dict[str, Any]:
        """Return what is to be said about class c, JSON-ready."""
        rise, missing = float(self.rises[c]), float(self.values[:, c].sum() - self.rises[c])
        variance, squares = self.variances[:, c], float((self.values[:, c] ** 2).sum())
        return {
            "n_players": len(self.values),
            "n_window_passes": int(self.n_passes[c]),
            "exact_window_share": float(self.exact_windows[c]),
            "exact_mass_share": float(self.exact_mass[c]),
            "largest_standard_error": math.sqrt(variance.max(initial=0.0)),
            "relative_standard_error": math.sqrt(variance.sum() / squares) if squares else 0.0,
            "output_difference": rise,
            "completeness_residual": abs(missing / rise) if rise else None,
        } | ({} if self.pairs is None else {"interactions": self.pairs.info(c)})


def _linear(aggregation: str) -> str:
    if parse_aggregation(aggregation).linear:
        return aggregation
    linear = ", ".join(name for name, known in AGGREGATIONS.items() if known.linear)
    raise UsageError(
        "aggregation",
        got=f"{aggregation!r}, which is not linear in the logits",
        allowed=f"{linear}: the output must be a sum over windows",
        remedy="pick one of them, or a gradient method for this aggregation",
    )


class PlayerMethod(Method):
    """A method whose players are supervoxels, off when replaced by a baseline."""

    joint = True  # a pass of the game gives the logits of all classes
    players = True

    baseline: Baseline = "zero"
    """What is off: ``zero``, ``mean``, ``blur``, ``air``, or a number."""
    spread: Literal["even", "repeat"] = "even"
    """``even``: a player's value divided by its number of voxels, so that voxels sum to it; ``repeat``: the
    value on each voxel."""
    aggregation: Annotated[AggregationName, AfterValidator(_linear)] = "sum"
    """How the logits of a class become one number, linearly: ``sum``, ``mean``, ``probability``,
    ``margin`` (less the logit of the runner-up) or ``roi:NAME`` (Eq. 2)."""

    @abstractmethod
    def supervoxels(self, labels: torch.Tensor) -> torch.Tensor:
        """Return the id of each voxel's player, given the clean label map ``[X, Y, Z]``."""

    @abstractmethod
    def players_in_windows(self, geometry: Geometry) -> Sequence[int]:
        """Return how many players meet each window, at most."""

    @abstractmethod
    def solve(self, scan: MaskedScan, classes: Sequence[int]) -> Outcome:
        """Return the players' values; only those of the classes are complete."""

    @torch.no_grad()
    def explain(self, problem: Problem, classes: Sequence[int]) -> Iterator[Explained]:
        """Yield the attribution of each class: its players' values on their voxels."""
        start = baseline_image(self.baseline, problem.image, problem.model)
        ids = self.supervoxels(problem.tiling.crop(problem.clean.labels))
        scan = MaskedScan.of(problem, problem.tiling.pad(ids, NO_PLAYER), start)
        outcome = self.solve(scan, classes)
        n_channels = problem.image.shape[0]
        shares = scan.n_voxels.clamp(min=1).double() * n_channels if self.spread == "even" else 1.0
        for c in classes:
            on_voxel = torch.from_numpy(outcome.values[:, c]).to(problem.image.device) / shares  # [n_ids]
            values = on_voxel.to(problem.image)[problem.tiling.crop(scan.supervoxels).long()]
            yield c, values.expand(n_channels, *values.shape), outcome.info(c)

    def player_sizes(self, labels: LabelVolume) -> NDArray[np.int64] | None:
        """Return the voxels of each voxel's player ``[X, Y, Z]``, by which ``even`` has divided its value."""
        if self.spread == "repeat":
            return None
        ids = self.supervoxels(torch.from_numpy(labels.astype(np.int16))).numpy()
        return np.asarray(np.bincount(ids.ravel())[ids])


class SemanticPlayers(PlayerMethod):
    """The players are the classes of the clean prediction, background included."""

    regions_play = True

    def supervoxels(self, labels: torch.Tensor) -> torch.Tensor:
        """Return the class of each voxel ``[X, Y, Z]``."""
        return labels.int()

    def players_in_windows(self, geometry: Geometry) -> Sequence[int]:
        """Return the number of classes for each window: which it holds is not known beforehand."""
        return [geometry.n_classes] * geometry.n_windows


class CubePlayers(PlayerMethod):
    """The players are cubes that start at voxel 0 of each axis; the last one is what remains."""

    cube_side: Annotated[int, Field(ge=1)] = CUBE_SIDE
    """Voxels along each edge."""
    n_cubes: Annotated[int, Field(ge=1)] | None = None
    """In place of the side: the smallest side, one for all axes, that gives no more cubes."""

    def model_post_init(self, context: Any, /) -> None:
        """Refuse a side beside a number of cubes."""
        if self.n_cubes is not None and self.cube_side != CUBE_SIDE:
            raise UsageError(
                "n_cubes",
                got=f"n_cubes={self.n_cubes} together with cube_side={self.cube_side}",
                allowed="one of them",
                remedy="leave out cube_side: it follows from n_cubes",
            )

    def side(self, shape: Sequence[int]) -> int:
        """Return the side for a scan of a shape ``(X, Y, Z)``."""
        return self.cube_side if self.n_cubes is None else side_for(shape, self.n_cubes)

    def supervoxels(self, labels: torch.Tensor) -> torch.Tensor:
        """Return the cube of each voxel ``[X, Y, Z]``."""
        return cubes(labels.shape, self.side(labels.shape), labels.device)

    def cubes_of(self, geometry: Geometry) -> int:
        """Return the cubes of a scan."""
        shape = geometry.tiling.scan_shape
        return math.prod(-(-n // self.side(shape)) for n in shape)

    def players_in_windows(self, geometry: Geometry) -> Sequence[int]:
        """Return how many cubes meet each window."""
        return cubes_in_windows(geometry.tiling, self.side(geometry.tiling.scan_shape))
