"""Shapley values of a game from its values on coalitions: the exact formula and the sampled fit.

Nothing here knows scans or networks. A game of k players is its values on coalitions, several
outputs side by side: ``[n_coalitions, L]``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations, islice

import numpy as np
from numpy.typing import NDArray

from agg2exp_core.errors import UsageError
from agg2exp_core.random import random_bits

Coalitions = NDArray[np.bool_]
"""Who is on ``[n_coalitions, k]``."""
Values = NDArray[np.float64]
"""``[n_coalitions, L]`` of a game, or ``[k, L]`` of its players."""


def all_coalitions(n_players: int) -> Coalitions:
    """Return all coalitions ``[2^k, k]``; player i is on in row r where bit i of r is set."""
    rows = np.arange(2**n_players)
    return (rows[:, None] >> np.arange(n_players) & 1).astype(bool)


def distinct(coalitions: Coalitions) -> tuple[Coalitions, NDArray[np.int64]]:
    """Return the different rows, and for each row which of them it is."""
    rows, inverse = np.unique(coalitions, axis=0, return_inverse=True)
    return rows, inverse.reshape(-1)


def shapley_values(values: Values) -> Values:
    """Return the Shapley values ``[k, L]`` of a game known on `all_coalitions` ``[2^k, L]``.

    Each player's value is the mean of what it adds, over the orders in which players may join:
    ``phi_i = sum_S |S|! (k - |S| - 1)! / k! (v(S + i) - v(S))`` (Shapley 1953).
    """
    n_players = len(values).bit_length() - 1
    rows = np.arange(len(values))
    sizes = all_coalitions(n_players).sum(axis=1)
    weights = np.array([1 / (n_players * math.comb(n_players - 1, s)) for s in range(n_players)])
    phi = np.empty((n_players, values.shape[1]))
    for i in range(n_players):
        without = rows[rows >> i & 1 == 0]
        phi[i] = weights[sizes[without]] @ (values[without | 1 << i] - values[without])
    return phi


@dataclass(frozen=True, eq=False)
class PairedSample:
    """Coalitions, each together with its complement, that stand for all those of a game.

    Parameters
    ----------
    coalitions : ndarray of bool, shape [n_pairs, k]
        One of each pair.
    weights : ndarray of float64, shape [n_pairs]
        Mass of the Shapley kernel that a pair stands for; sums to 1.
    n_complete : int
        The pairs in front that are all there are of their sizes; those behind were drawn.
    """

    coalitions: Coalitions
    weights: NDArray[np.float64]
    n_complete: int

    @property
    def complete(self) -> bool:
        """Whether nothing was drawn, so that the values are exact."""
        return self.n_complete == len(self.weights)

    @property
    def to_evaluate(self) -> Coalitions:
        """The pairs, their complements, nobody and everybody ``[2 n_pairs + 2, k]``."""
        ends = np.zeros((2, self.coalitions.shape[1]), bool)
        ends[1] = True
        return np.concatenate([self.coalitions, ~self.coalitions, ends])


def require_samples(n_players: int, n_samples: int) -> None:
    """Refuse samples that are too few to tell players apart: 4 each, unless these are more than there are.

    Raises
    ------
    UsageError
        If they are.
    """
    if n_samples < min(4 * n_players, (1 << n_players) - 2):
        raise UsageError(
            "n_samples",
            got=f"{n_samples} for {n_players} players",
            allowed=f"{4 * n_players} or more, 4 for each player",
            remedy="give more samples, or fewer and larger supervoxels (KernelSHAP: or ridge=0.01)",
        )


def sample_pairs(n_players: int, n_samples: int, ridge: float, *address: object) -> PairedSample:
    """Choose coalitions for `fit`: whole sizes while they are worth it, then draws of the rest.

    A size is taken whole, together with its complements, where sampling by the Shapley kernel
    would draw as many coalitions as it has; sizes 1 and k - 1 always, if half the budget is enough,
    so that the fit has one solution.

    Parameters
    ----------
    n_players : int
        k.
    n_samples : int
        Coalitions to evaluate, nobody and everybody not counted.
    ridge : float
        The penalty of the fit.
    *address : object
        What the draws depend on, together with `n_players` and `n_samples`.

    Raises
    ------
    UsageError
        If the samples are too few to tell the players apart.
    """
    sizes = range(1, n_players // 2 + 1)
    counts = {s: math.comb(n_players, s) // (2 if 2 * s == n_players else 1) for s in sizes}  # of pairs
    mass = {s: 1 / (s * (n_players - s)) / (2 if 2 * s == n_players else 1) for s in sizes}
    total = sum(mass.values())
    if not ridge:
        require_samples(n_players, n_samples)
    rows: list[Coalitions] = []
    weights: list[NDArray[np.float64]] = []
    n_left = n_samples // 2
    for s in sizes:
        worth_it = n_left * mass[s] / sum(mass[t] for t in sizes[s - 1 :]) >= counts[s]
        if not worth_it and not (s == 1 and 4 * counts[1] <= n_samples):
            drawn = sizes[s - 1 :]
            break
        members = np.array(list(islice(combinations(range(n_players), s), counts[s])))  # one of each pair
        whole = np.zeros((counts[s], n_players), bool)
        whole[np.arange(counts[s])[:, None], members] = True
        rows.append(whole)
        weights.append(np.full(counts[s], mass[s] / total / counts[s]))
        n_left -= counts[s]
    else:
        drawn = range(0)
    n_complete = sum(map(len, rows))
    if drawn:
        n_drawn = max(n_left, 2)
        left = np.array([mass[s] for s in drawn])
        rows.append(_draw(n_players, n_drawn, drawn, left / left.sum(), n_samples, *address))
        weights.append(np.full(n_drawn, left.sum() / total / n_drawn))
    if not rows:
        return PairedSample(np.zeros((0, n_players), bool), np.zeros(0), 0)
    return PairedSample(np.concatenate(rows), np.concatenate(weights), n_complete)


def _draw(
    n_players: int, n_drawn: int, sizes: range, probabilities: NDArray[np.float64], *address: object
) -> Coalitions:
    """Draw coalitions: a size, then who; a pure function of the arguments."""
    bits = random_bits(n_drawn * (n_players + 1), "coalitions", n_players, *address)
    bits = bits.reshape(n_drawn, n_players + 1)
    uniform = bits[:, 0] * 2.0**-64
    chosen = np.searchsorted(np.cumsum(probabilities)[:-1], uniform, side="right")
    ranks = bits[:, 1:].argsort(axis=1, kind="stable").argsort(axis=1)  # [n_drawn, k]
    return ranks < (np.array(sizes)[chosen])[:, None]


def fit(sample: PairedSample, values: Values, ridge: float) -> tuple[Values, Values]:
    """Return the players' values and their variances, both ``[k, L]``, by weighted least squares.

    Parameters
    ----------
    sample : PairedSample
        The coalitions.
    values : ndarray of float64, shape [2 n_pairs + 2, L]
        Of the game on `PairedSample.to_evaluate`.
    ridge : float
        Penalty on the squared values, relative to the Shapley kernel's total mass of 1.

    Notes
    -----
    KernelSHAP (Lundberg and Lee 2017) minimises ``sum_S w_S (v(S) - v(0) - sum_{i in S} phi_i)^2``
    with ``sum_i phi_i = v(N) - v(0)``. With coalitions in pairs of complements this is a regression
    of half the difference within each pair on the coalition less one half: what a pair has in
    common does not depend on ``phi``.

    The variance is that of leaving out one drawn pair after the other (the jackknife in closed
    form, HC3 of MacKinnon and White 1985); sizes that were taken whole add none.
    """
    n_pairs, n_players = sample.coalitions.shape
    X = sample.coalitions - 0.5
    y = (values[:n_pairs] - values[n_pairs : 2 * n_pairs]) / 2
    rise = values[-1] - values[-2]  # [L]
    WX = X * sample.weights[:, None]
    system = np.ones((n_players + 1, n_players + 1))
    system[:-1, :-1] = X.T @ WX + ridge * np.eye(n_players)
    system[-1, -1] = 0
    inverse = np.linalg.inv(system)[:-1]  # [k, k + 1]
    phi = inverse @ np.concatenate([WX.T @ y, rise[None]])
    drawn = slice(sample.n_complete, None)
    influence = WX[drawn] @ inverse[:, :-1]  # [n_drawn, k]
    n_drawn = len(influence)
    if n_drawn == 0:
        return phi, np.zeros_like(phi)
    leverage = (influence * X[drawn]).sum(axis=1)
    left_out = (y[drawn] - X[drawn] @ phi) / (1 - leverage)[:, None]  # [n_drawn, L]
    squares = (influence**2).T @ left_out**2
    mean = influence.T @ left_out / n_drawn
    return phi, np.maximum(squares - n_drawn * mean**2, 0) * n_drawn / (n_drawn - 1)
