"""What the Shapley methods share: who the players are, and from their values to voxels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from agg2exp_core.attribution.aggregation import parse_aggregation
from agg2exp_core.attribution.baselines import baseline_image, parse_baseline
from agg2exp_core.attribution.coalitions import Values
from agg2exp_core.attribution.engine import Problem
from agg2exp_core.attribution.games import MaskedScan
from agg2exp_core.attribution.method import Explained, Geometry
from agg2exp_core.attribution.ranges import at_least, one_of
from agg2exp_core.attribution.supervoxels import NO_PLAYER, cubes, cubes_in_windows, side_for
from agg2exp_core.errors import UsageError

CUBE_SIDE = 128
"""Voxels: 192 mm at 1.5 mm."""
SPREADS = ("even", "repeat")
"""A player's value shared by its voxels, or repeated on each."""


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
    """

    values: Values
    variances: Values
    rises: NDArray[np.float64]
    n_passes: NDArray[np.int64]
    exact_windows: NDArray[np.float64]
    exact_mass: NDArray[np.float64]

    def info(self, c: int) -> dict[str, Any]:
        """Return what is to be said about class c, JSON-ready."""
        rise, missing = float(self.rises[c]), float(self.values[:, c].sum() - self.rises[c])
        variance, squares = self.variances[:, c], float((self.values[:, c] ** 2).sum())
        return {
            "n_players": len(self.values),
            "n_window_passes": int(self.n_passes[c]),
            "exact_window_share": float(self.exact_windows[c]),
            "exact_mass_share": float(self.exact_mass[c]),
            "largest_standard_error": sqrt(variance.max(initial=0.0)),
            "relative_standard_error": sqrt(variance.sum() / squares) if squares else 0.0,
            "output_difference": rise,
            "completeness_residual": abs(missing / rise) if rise else None,
        }


@dataclass(frozen=True)
class PlayerMethod(ABC):
    """Parameters of a method whose players are supervoxels, off when replaced by a baseline.

    Parameters
    ----------
    baseline : str
        ``zero``, ``mean``, ``blur``, ``air``, or a number.
    spread : str
        ``even``: a player's value divided by its number of voxels, so that voxels sum to it;
        ``repeat``: the value on each voxel.
    aggregation : str
        A linear one: ``sum``, ``mean``, ``probability`` or ``roi`` (Eq. 2).
    """

    serves_all_classes: ClassVar[bool] = True  # a pass of the game gives the logits of all
    baseline: str = "zero"
    spread: str = "even"
    aggregation: str = "sum"

    def __post_init__(self) -> None:
        object.__setattr__(self, "baseline", parse_baseline(self.baseline))
        one_of("spread", self.spread, SPREADS)
        if not parse_aggregation(self.aggregation).linear:
            raise UsageError(
                "aggregation",
                got=f"{self.aggregation!r}, which is not linear in the logits",
                allowed="sum, mean, probability or roi: the output must be a sum over windows",
                remedy="pick one of them, or a gradient method for this aggregation",
            )

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


@dataclass(frozen=True)
class SemanticPlayers(PlayerMethod):
    """The players are the classes of the clean prediction, background included."""

    def supervoxels(self, labels: torch.Tensor) -> torch.Tensor:
        """Return the class of each voxel ``[X, Y, Z]``."""
        return labels.int()

    def players_in_windows(self, geometry: Geometry) -> Sequence[int]:
        """Return the number of classes for each window: which it holds is not known beforehand."""
        return [geometry.n_classes] * geometry.n_windows


@dataclass(frozen=True)
class CubePlayers(PlayerMethod):
    """The players are cubes that start at voxel 0 of each axis; the last one is what remains.

    Parameters
    ----------
    cube_side : int
        Voxels along each edge.
    n_cubes : int, optional
        In place of the side: the smallest side, one for all axes, that gives no more cubes.
    """

    cube_side: int = CUBE_SIDE
    n_cubes: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("cube_side", self.cube_side, 1)
        if self.n_cubes is None:
            return
        at_least("n_cubes", self.n_cubes, 1)
        if self.cube_side != CUBE_SIDE:
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

    def players_in_windows(self, geometry: Geometry) -> Sequence[int]:
        """Return how many cubes meet each window."""
        return cubes_in_windows(geometry.tiling, self.side(geometry.tiling.scan_shape))
