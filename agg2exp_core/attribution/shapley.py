"""Window-local Shapley values: exact where few players meet a window, for all classes at once.

With a linear aggregation and fixed masks the aggregated outputs are sums over windows, and Shapley
values are linear in the game: those of the whole scan are the sums of those of one small game per
window, whose players are the supervoxels that meet it. So 2^k passes of a window give exact values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agg2exp_core.attribution.coalitions import (
    PairedSample,
    all_coalitions,
    distinct,
    fit,
    require_samples,
    sample_pairs,
    shapley_values,
)
from agg2exp_core.attribution.games import MaskedScan, play
from agg2exp_core.attribution.interactions import PairSums, interaction_indices, sampled_indices
from agg2exp_core.attribution.method import Geometry, Passes
from agg2exp_core.attribution.players import CubePlayers, Outcome, PlayerMethod, SemanticPlayers

MOST_EXACT_PLAYERS = 16
"""65,536 passes of one window."""

MOST_PAIRED_PLAYERS = 64
"""A window that meets more tells nothing of pairs: its samples are too few for them."""


class WindowLocalShapley(PlayerMethod):
    """Shapley values of the aggregated outputs (Eq. 6, solved window by window).

    Notes
    -----
    What is sampled is the window's own game, by the fit of KernelSHAP: paired coalitions, whole
    sizes first. Windows are sampled independently, so their variances add up.
    """

    max_exact_players: Annotated[int, Field(ge=1, le=MOST_EXACT_PLAYERS)] = 10
    """A window that meets more players is sampled; each player more doubles the passes, 10 take 1,024."""
    n_samples: Annotated[int, Field(ge=2)] = 1024
    """Coalitions for such a window."""

    def solve(self, scan: MaskedScan, classes: Sequence[int]) -> Outcome:
        """Return the sums of the windows' values."""
        L = scan.problem.model.n_classes
        values, variances = np.zeros((scan.n_ids, L)), np.zeros((scan.n_ids, L))
        rises, mass, exact_mass = np.zeros(L), np.zeros(L), np.zeros(L)
        n_passes, n_windows, n_exact = np.zeros(L, int), np.zeros(L, int), np.zeros(L, int)
        pairs = PairSums()
        games = scan.windows(classes)
        samples = [self._sample(scan, game.index, len(game.players)) for game in games]
        chosen = [
            distinct(all_coalitions(len(game.players)) if sample is None else sample.to_evaluate)
            for game, sample in zip(games, samples, strict=True)
        ]
        played = play([(game, rows) for game, (rows, _) in zip(games, chosen, strict=True)])
        for (game, of_rows), sample, (rows, inverse) in zip(played, samples, chosen, strict=True):
            worth = of_rows[inverse]  # [n_coalitions, L]
            if sample is None:
                phi, variance = shapley_values(worth), np.zeros(())
                pairs.add(game.players, interaction_indices(rows[inverse], worth))
                rises += worth[-1] - worth[0]
            else:
                phi, variance = fit(sample, worth, ridge=0.0)
                rises += worth[-1] - worth[-2]
                if len(game.players) <= MOST_PAIRED_PLAYERS:
                    pairs.add(game.players, *sampled_indices(sample, worth, phi))
                else:
                    pairs.n_left_out += 1
            exact = sample is None or sample.complete
            values[game.players] += phi
            variances[game.players] += variance
            mass += np.abs(phi).sum(axis=0)
            exact_mass += exact * np.abs(phi).sum(axis=0)
            here = sorted(game.classes)
            n_passes[here] += game.n_passes(rows)
            n_windows[here] += 1
            n_exact[here] += exact
        n_passes += (n_windows > 0) * scan.n_shared_passes
        shares = _share(n_exact, n_windows), _share(exact_mass, mass)
        return Outcome(values, variances, rises, n_passes, *shares, pairs)

    def passes(self, geometry: Geometry) -> Passes:
        """Return the window passes of a scan, at most."""
        counts = self.players_in_windows(geometry)
        return Passes(sum(self._at_most(k) for k in counts))

    def _at_most(self, n_players: int) -> int:
        if n_players > self.max_exact_players:
            return min(1 << n_players, self.n_samples + 2)
        return 1 << n_players

    def _sample(self, scan: MaskedScan, index: int, n_players: int) -> PairedSample | None:
        if n_players <= self.max_exact_players:
            return None
        return sample_pairs(n_players, self.n_samples, 0.0, *scan.problem.noise_address, "window", index)


def _share(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """Return ``part / whole``, 1 where there is nothing to share."""
    shares = np.ones(len(whole))
    np.divide(part, whole, out=shares, where=whole != 0)
    return shares


class ShapleyCubes(CubePlayers, WindowLocalShapley):
    """Window-local Shapley values of cubes; see `WindowLocalShapley` and `CubePlayers`."""

    name = "shapley_cubes"

    def check(self, geometry: Geometry) -> None:
        """Refuse fewer samples than the cubes of a window ask for."""
        n_players = max(self.players_in_windows(geometry))
        if n_players > self.max_exact_players:
            require_samples(n_players, self.n_samples)


class ShapleySemantic(SemanticPlayers, WindowLocalShapley):
    """Window-local Shapley values of the predicted classes; see `WindowLocalShapley`."""

    name = "shapley_semantic"

    def _at_most(self, n_players: int) -> int:
        """Return the most for any number of players up to this: fewer may cost more, being solved exactly."""
        cost = super()._at_most
        return max(cost(k) for k in range(n_players + 1))
