"""The aggregated outputs as a game over supervoxels, one small game per window.

``f_hat_c(x_S) = sum_w <(I / N) u_c, net_c(x_S restricted to w)>`` where x_S is the scan with the
supervoxels outside S set to the baseline. With a linear aggregation `u_c` is fixed, so every term
depends on the voxels of one window alone: on the players that meet it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from agg2exp_core.attribution.coalitions import Coalitions, Values, distinct
from agg2exp_core.attribution.problem import Problem


@dataclass(frozen=True, eq=False)
class MaskedScan:
    """A scan whose supervoxels are on (themselves) or off (the baseline), padded.

    Parameters
    ----------
    problem : Problem
        Model, windows, masks and the clean scan; its aggregation is linear.
    image, start : torch.Tensor, shape [C, *padded scan]
        The clean scan and its baseline; alike in the padding.
    supervoxels : torch.Tensor of integers, shape [*padded scan]
        Id of each voxel's player.
    n_ids : int
        One more than the largest id.
    """

    problem: Problem
    image: torch.Tensor
    start: torch.Tensor
    supervoxels: torch.Tensor
    n_ids: int

    @classmethod
    def of(cls, problem: Problem, supervoxels: torch.Tensor, start: torch.Tensor) -> MaskedScan:
        """Pad a problem's scan and its baseline ``[C, X, Y, Z]``."""
        pad = problem.tiling.pad
        return cls(problem, pad(problem.image), pad(start), supervoxels, int(supervoxels.max()) + 1)

    @cached_property
    def n_voxels(self) -> torch.Tensor:
        """Voxels of each id ``[n_ids]``."""
        return torch.bincount(self.supervoxels[self.supervoxels >= 0], minlength=self.n_ids)

    @cached_property
    def players(self) -> NDArray[np.int64]:
        """Ids that can make a difference: some voxel is not the baseline's already."""
        return _players(self.image, self.start, self.supervoxels)

    def windows(self, classes: Sequence[int]) -> list[WindowGame]:
        """Return the games of the windows that matter: a voxel of the classes, and a player."""
        present = self.problem.cotangents().present
        needed = [i for i, in_window in enumerate(present) if in_window.intersection(classes)]
        games = (WindowGame(self, i, _players(*self.inside(i))) for i in needed)
        return [game for game in games if len(game.players)]

    def inside(self, index: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return image, baseline and supervoxels in a window."""
        window = self.problem.tiling.windows[index]
        return self.image[:, *window], self.start[:, *window], self.supervoxels[window]

    @cached_property
    def shared_blank(self) -> torch.Tensor | None:
        """Logits ``[1, L, *window]`` of a window that is all baseline, if all such windows are alike."""
        flat = self.start.flatten(1)
        if bool((flat.amin(1) != flat.amax(1)).any()):
            return None
        window = self.problem.tiling.windows[0]
        with torch.no_grad():
            return self.problem.model.logits(self.start[None, :, *window])

    @property
    def n_shared_passes(self) -> int:
        """1 if the all-baseline window is evaluated once for all windows, else 0."""
        return int(self.shared_blank is not None)


def _players(image: torch.Tensor, start: torch.Tensor, supervoxels: torch.Tensor) -> NDArray[np.int64]:
    """Return the ids with a voxel at which image and baseline differ."""
    ids: NDArray[np.int64] = torch.unique(supervoxels[(image != start).any(dim=0)]).long().cpu().numpy()
    return ids


@dataclass(frozen=True, eq=False)
class WindowGame:
    """What one window adds to the aggregated outputs, as a game of the players that meet it.

    Parameters
    ----------
    scan : MaskedScan
        The scan.
    index : int
        Of the window in its tiling.
    players : ndarray of int64, shape [k]
        Ids in ascending order. One whose voxels here are the baseline's already makes no
        difference here, and is left out.
    """

    scan: MaskedScan
    index: int
    players: NDArray[np.int64]

    @property
    def classes(self) -> frozenset[int]:
        """The classes with a cotangent in this window."""
        return self.scan.problem.cotangents().present[self.index]

    def n_passes(self, coalitions: Coalitions) -> int:
        """Return the passes that distinct coalitions take, a shared blank window not counted."""
        return len(coalitions) - self.scan.n_shared_passes * int((~coalitions.any(axis=1)).sum())

    @torch.no_grad()
    def values(self, coalitions: Coalitions, on_pass: Callable[[], None]) -> Values:
        """Return the window's part of the aggregated outputs of all classes.

        Parameters
        ----------
        coalitions : ndarray of bool, shape [n_coalitions, k]
            Who is on; no row twice.
        on_pass : callable
            Called after each pass.

        Returns
        -------
        ndarray of float64, shape [n_coalitions, L]
            0 for classes that the window does not hold.

        Notes
        -----
        The passes depend on the coalitions alone, not on the classes that are asked for.
        """
        problem = self.scan.problem
        image, start, supervoxels = self.scan.inside(self.index)
        column = torch.full((self.scan.n_ids + 1,), len(self.players))
        column[self.players] = torch.arange(len(self.players))
        of_voxel = column.to(image.device)[supervoxels.long()]  # -1 is the last entry
        read = self._readout()
        totals = np.empty((len(coalitions), problem.model.n_classes))
        fresh = np.arange(len(coalitions))
        if (blank := self.scan.shared_blank) is not None:
            empty = ~coalitions.any(axis=1)
            totals[empty] = read(blank).cpu().numpy()
            fresh = fresh[~empty]
        nobody = np.zeros((len(fresh), 1), np.bool_)
        on = torch.from_numpy(np.hstack([coalitions[fresh], nobody])).to(image.device)  # [n_fresh, k + 1]
        values = []  # read once all passes are on their way: a GPU does not wait between them
        for first in range(0, len(fresh), problem.window_batch):
            keep = on[first : first + problem.window_batch, None, of_voxel]  # [B, 1, *window]
            values.append(read(problem.model.logits(torch.where(keep, image, start))))
            on_pass()
        if values:
            totals[fresh] = torch.cat(values).cpu().numpy()
        return totals

    def _readout(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """Return ``<(I / N) u_c, .>`` for all classes: from logits ``[B, L, *window]`` to float64 ``[B, L]``.

        The masks of predicted classes do not meet: a voxel's logit is read for its own class only, and
        that of its runner-up where the margin asks for it.
        """
        problem = self.scan.problem
        cotangents = problem.cotangents()
        window = problem.tiling.windows[self.index]
        inside = cotangents.inside(window, problem.blending.weight(window).double())
        parts: list[tuple[int, torch.Tensor, torch.Tensor]] = []
        for c in sorted(self.classes):
            if parts and cotangents.shared:  # one mask for all classes
                parts.append((c, *parts[0][1:]))
                continue
            weight = inside(c).flatten()
            voxels = torch.nonzero(weight).flatten()
            parts.append((c, voxels, weight[voxels]))
        second = problem.clean.runner_up
        against = None if second is None else second[window].flatten().long()

        def read(logits: torch.Tensor) -> torch.Tensor:
            values = torch.zeros(logits.shape[:2], dtype=torch.float64, device=logits.device)
            flat = logits.flatten(2)  # [B, L, voxels]
            for c, voxels, weight in parts:
                chosen = flat[:, c].index_select(1, voxels).double()
                if against is not None:
                    chosen = chosen - flat[:, against[voxels], voxels].double()
                values[:, c] = chosen @ weight
            return values

        return read


def play(rounds: Sequence[tuple[WindowGame, Coalitions]]) -> Iterator[tuple[WindowGame, Values]]:
    """Yield each window's game with its values on its coalitions, and tell the progress."""
    if not rounds:
        return
    problem = rounds[0][0].scan.problem
    n_total = sum(_n_batches(game.n_passes(coalitions), problem.window_batch) for game, coalitions in rounds)
    n_done = 0

    def on_pass() -> None:
        nonlocal n_done
        n_done += 1
        problem.progress(n_done, n_total)

    for game, coalitions in rounds:
        yield game, game.values(coalitions, on_pass)


def worth_of(
    scan: MaskedScan, coalitions: Coalitions, classes: Sequence[int]
) -> tuple[Values, NDArray[np.int64]]:
    """Return the aggregated outputs when some of the whole scan's players are on.

    Parameters
    ----------
    scan : MaskedScan
        The scan.
    coalitions : ndarray of bool, shape [n_coalitions, k]
        Who of `MaskedScan.players` is on.
    classes : sequence of int
        Which outputs are complete.

    Returns
    -------
    ndarray of float64, shape [n_coalitions, L]
        The outputs, less what windows add in which no player can change anything.
    ndarray of int64, shape [L]
        The window passes of each class. A window sees which of its own players are on: coalitions
        that are alike there pass once.
    """
    n_classes = scan.problem.model.n_classes
    worth, n_passes = np.zeros((len(coalitions), n_classes)), np.zeros(n_classes, int)
    games = scan.windows(classes)
    chosen = [distinct(coalitions[:, np.searchsorted(scan.players, game.players)]) for game in games]
    played = play([(game, rows) for game, (rows, _) in zip(games, chosen, strict=True)])
    for (game, of_rows), (rows, inverse) in zip(played, chosen, strict=True):
        worth += of_rows[inverse]
        n_passes[sorted(game.classes)] += game.n_passes(rows)
    n_passes += (n_passes > 0) * scan.n_shared_passes
    return worth, n_passes


def _n_batches(n_passes: int, window_batch: int) -> int:
    return math.ceil(n_passes / window_batch)
