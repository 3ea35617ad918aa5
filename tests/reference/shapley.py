"""Shapley's formula over all coalitions of a whole scan, by the stitched model."""

from itertools import combinations
from math import factorial

import numpy as np
import torch

from tests.reference.attributions import f


def subsets(players):
    """All coalitions of some players."""
    return [frozenset(S) for size in range(len(players) + 1) for S in combinations(sorted(players), size)]


def shapley(value, players):
    """Values of the players of a game: ``value`` maps a frozenset of players to a number or an array."""
    n = len(players)
    phi = {}
    for i in players:
        phi[i] = sum(
            factorial(len(S)) * factorial(n - len(S) - 1) / factorial(n) * (value[S | {i}] - value[S])
            for S in subsets(set(players) - {i})
        )
    return phi


def interactions(value, players):
    """Grabisch and Roubens' index of each pair of players, as its formula reads."""
    n = len(players)
    found = {}
    for i, j in combinations(sorted(players), 2):
        found[i, j] = sum(
            factorial(len(S))
            * factorial(n - len(S) - 2)
            / factorial(n - 1)
            * (value[S | {i, j}] - value[S | {i}] - value[S | {j}] + value[S])
            for S in subsets(set(players) - {i, j})
        )
    return found


def cotangents(model, image, aggregation, roi=None):
    """Eq. 2: ``u_c`` of all classes [L, X, Y, Z], fixed from the clean scan."""
    logits = f(model, image).detach()
    own = torch.nn.functional.one_hot(logits.argmax(0), len(logits)).movedim(-1, 0).to(logits)
    if aggregation in ("sum", "margin"):
        return own
    if aggregation == "mean":
        return own / own.sum(dim=(1, 2, 3), keepdim=True).clamp(min=1)
    if aggregation == "probability":
        weight = logits.softmax(0) * own
        return weight / weight.sum(dim=(1, 2, 3), keepdim=True).clamp(min=1e-300)
    if aggregation == "roi":
        return torch.as_tensor(roi).to(logits).expand_as(logits)
    raise AssertionError(aggregation)


@torch.no_grad()
def all_logits(model, image, start, supervoxels):
    """Logits [L, X, Y, Z] of the whole model for every coalition of the whole scan's players."""
    players = np.unique(supervoxels).tolist()
    logits = {}
    for S in subsets(players):
        on = torch.from_numpy(np.isin(supervoxels, list(S)))
        logits[S] = f(model, torch.where(on, image, start))
    return logits


def scan_values(model, image, start, supervoxels, aggregation, roi=None, logits=None, solve=shapley):
    """Shapley values [L] of every player of the scan, 2^n passes of the stitched model; or of every pair."""
    logits = all_logits(model, image, start, supervoxels) if logits is None else logits
    u = cotangents(model, image, aggregation, roi)
    if aggregation == "margin":
        runner_up = f(model, image).detach().sort(0).indices[-2]
        logits = {S: of_S - of_S.gather(0, runner_up[None]) for S, of_S in logits.items()}
    value = {S: (u * of_S).sum(dim=(1, 2, 3)).numpy() for S, of_S in logits.items()}
    return solve(value, np.unique(supervoxels).tolist())


def cubes(shape, side):
    """The cube of each voxel, numbered as they are met."""
    numbers = {}
    ids = np.empty(shape, int)
    for voxel in np.ndindex(*shape):
        ids[voxel] = numbers.setdefault(tuple(v // side for v in voxel), len(numbers))
    return ids
