"""How players act together: the pairwise Shapley interaction index, from coalitions that are known already.

``I_ij = sum_S |S|! (k - |S| - 2)! / (k - 1)! (v(S + i + j) - v(S + i) - v(S + j) + v(S))`` over the
coalitions S without i and j (Grabisch and Roubens 1999). Sorted by coalitions it is
``sum_T w_ij(T) v(T)``, where w depends on how many are in T, and on which of i and j are. Like Shapley
values it is linear in the game: the indices of a scan are the sums of those of its windows, and 0 for
players that meet in none.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agg2exp_core.attribution.coalitions import Coalitions, PairedSample, Values

Pairs = NDArray[np.float64]
"""Of each pair of players, for each output ``[k, k, L]``: symmetric, 0 on the diagonal."""


class PairSums:
    """Sums of the windows' interactions, of the pairs of players that meet in a window."""

    def __init__(self) -> None:
        self._of_pair: dict[tuple[int, int], NDArray[np.float64]] = {}  # [2, L]: index, variance
        self.n_left_out = 0
        """Windows whose pairs were not estimated: their players are too many."""

    def add(self, players: NDArray[np.int64], indices: Pairs, variances: Pairs | None = None) -> None:
        """Add those of a window with players of ascending ids ``[k]``."""
        both = np.stack([indices, np.zeros_like(indices) if variances is None else variances])
        for i, j in zip(*np.triu_indices(len(players), 1), strict=True):
            pair = int(players[i]), int(players[j])
            self._of_pair[pair] = self._of_pair.get(pair, 0.0) + both[:, i, j]

    def info(self, c: int) -> dict[str, Any]:
        """Return those that are not 0 for class c: two ids, index and standard error a pair; JSON-ready."""
        pairs = {pair: of[:, c].tolist() for pair, of in sorted(self._of_pair.items()) if of[:, c].any()}
        return {
            "first": [i for i, _ in pairs],
            "second": [j for _, j in pairs],
            "index": [index for index, _ in pairs.values()],
            "standard_error": [math.sqrt(variance) for _, variance in pairs.values()],
            "n_windows_left_out": self.n_left_out,
        }


def interaction_indices(coalitions: Coalitions, values: Values) -> Pairs:
    """Return the indices of a game that is known on all coalitions.

    Parameters
    ----------
    coalitions : ndarray of bool, shape [2^k, k]
        All of them, in any order.
    values : ndarray of float64, shape [2^k, L]
        The game.
    """
    return _weighted(coalitions, values)


def sampled_indices(sample: PairedSample, values: Values, phi: Values) -> tuple[Pairs, Pairs]:
    """Return unbiased estimates of the indices, and their variances.

    Parameters
    ----------
    sample : PairedSample
        The coalitions.
    values : ndarray of float64, shape [2 n_pairs + 2, L]
        Of the game on `PairedSample.to_evaluate`.
    phi : ndarray of float64, shape [k, L]
        The fitted values of the players. What they explain has no interactions, and is taken away: that
        leaves less to vary.

    Notes
    -----
    Sizes that were taken whole, nobody and everybody count as they are. A drawn pair stands for all pairs of
    the drawn sizes by the inverse of its probability, as in SHAP-IQ (Fumagalli et al. 2023).
    """
    n_pairs = len(sample.coalitions)
    on = sample.to_evaluate
    rest = values - values[-2] - on @ phi
    known = np.r_[: sample.n_complete, n_pairs : n_pairs + sample.n_complete, 2 * n_pairs, 2 * n_pairs + 1]
    indices = _weighted(on[known], rest[known])
    variances = np.zeros_like(indices)
    drawn = np.arange(sample.n_complete, n_pairs)
    if len(drawn) == 0:
        return indices, variances
    shares = 1 / _times_drawn(sample)
    first, second = np.zeros_like(indices), np.zeros_like(indices)
    for n, share in zip(drawn, shares, strict=True):
        both = [n, n_pairs + n]
        of_pair = share * _weighted(on[both], rest[both])
        first += of_pair
        second += of_pair**2
    n_drawn = len(drawn)
    spread = np.maximum(second - first**2 / n_drawn, 0) / (n_drawn - 1)
    return indices + first / n_drawn, variances + spread / n_drawn


def _times_drawn(sample: PairedSample) -> NDArray[np.float64]:
    """Return the probability of each drawn pair, of one draw ``[n_drawn]``."""
    n_players = sample.coalitions.shape[1]
    sizes = sample.coalitions.sum(axis=1)
    smallest = np.minimum(sizes, n_players - sizes)
    whole = set(smallest[: sample.n_complete].tolist())
    left = [s for s in range(1, n_players // 2 + 1) if s not in whole]
    middle = [2 if 2 * s == n_players else 1 for s in left]
    mass = np.array([1 / (s * (n_players - s)) / m for s, m in zip(left, middle, strict=True)])
    of_size = dict(zip(left, mass / mass.sum(), strict=True))
    n_of_size = {s: math.comb(n_players, s) / m for s, m in zip(left, middle, strict=True)}
    drawn = smallest[sample.n_complete :].tolist()
    return np.array([of_size[s] / n_of_size[s] for s in drawn])


def _weighted(on: Coalitions, values: Values) -> Pairs:
    """Return ``sum_T w_ij(T) v(T)`` over the given coalitions ``[k, k, L]``."""
    n_players = on.shape[1]
    if n_players < 2:
        return np.zeros((n_players, n_players, values.shape[1]))
    of_size = [1 / ((n_players - 1) * math.comb(n_players - 2, s)) for s in range(n_players - 1)]
    weight = np.array([0.0, 0.0, *of_size, 0.0, 0.0])  # of S, from two players less
    size = on.sum(axis=1)
    none, one, two = (weight[size + 2][:, None], -weight[size + 1][:, None], weight[size][:, None])
    x = on.astype(np.float64)
    apart = x.T @ ((one - none) * values)  # [k, L]
    both = (two - 2 * one + none) * values
    together = np.stack([x.T @ (x[:, i, None] * both) for i in range(n_players)])
    pairs: Pairs = (none * values).sum(axis=0) + apart[:, None] + apart[None] + together
    pairs[np.arange(n_players), np.arange(n_players)] = 0
    return pairs
