"""KernelSHAP over the whole scan (Eq. 6): one set of masked scans for all classes.

Few of its masked windows differ: a window sees only which of its own players are on. None is
evaluated twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from agg2exp_core.attribution.coalitions import fit, require_samples, sample_pairs
from agg2exp_core.attribution.games import MaskedScan, worth_of
from agg2exp_core.attribution.method import Geometry, Passes
from agg2exp_core.attribution.players import CubePlayers, Outcome, PlayerMethod, SemanticPlayers


class KernelShap(PlayerMethod):
    """Shapley values estimated from coalitions of the whole scan's players (Eq. 6).

    Notes
    -----
    The coalitions are a function of the seed, the scan's id, the players and `n_samples` alone.
    """

    n_samples: Annotated[int, Field(ge=2)] = 1000
    """Coalitions, in pairs of complements; all players and none are evaluated besides."""
    ridge: Annotated[float, Field(ge=0)] = 0.0
    """Penalty on the squared values, relative to the kernel's total mass of 1: the paper's penalised fit. 0
    for none."""

    def solve(self, scan: MaskedScan, classes: Sequence[int]) -> Outcome:
        """Return the fitted values of the players."""
        L = scan.problem.model.n_classes
        values, variances = np.zeros((scan.n_ids, L)), np.zeros((scan.n_ids, L))
        players = scan.players
        address = (*scan.problem.noise_address, tuple(players.tolist()))
        sample = sample_pairs(len(players), self.n_samples, self.ridge, *address)
        worth, n_passes = worth_of(scan, sample.to_evaluate, classes)
        if len(players):
            values[players], variances[players] = fit(sample, worth, self.ridge)
        exact = np.full(L, float(sample.complete and self.ridge == 0))
        return Outcome(values, variances, worth[-1] - worth[-2], n_passes, exact, exact)

    def passes(self, geometry: Geometry) -> Passes:
        """Return the window passes of a scan, at most."""
        counts = self.players_in_windows(geometry)
        return Passes(sum(min(1 << k, self.n_samples + 2) for k in counts))


class KernelShapCubes(CubePlayers, KernelShap):
    """KernelSHAP of cubes; see `KernelShap` and `CubePlayers`."""

    name = "kernelshap_cubes"

    def check(self, geometry: Geometry) -> None:
        """Refuse fewer samples than the cubes of a scan ask for."""
        if not self.ridge:
            require_samples(self.cubes_of(geometry), self.n_samples)


class KernelShapSemantic(SemanticPlayers, KernelShap):
    """KernelSHAP of the predicted classes; see `KernelShap`."""

    name = "kernelshap_semantic"

    n_samples: Annotated[int, Field(ge=2)] = 200
    """Coalitions, in pairs of complements; all players and none are evaluated besides."""
