"""Window-local Shapley values of cubes against Captum's KernelShap: passes, time, error."""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import torch
from captum.attr import KernelShap
from numpy.typing import NDArray

from agg2exp_core.attribution import Geometry, make_method
from agg2exp_core.types import WindowSettings
from agg2exp_core.windows import Tiling
from benchmarks.attribution.case import Case
from benchmarks.attribution.gradients import explain
from benchmarks.timing import Row, Spread, once

CAPTUM_SAMPLES = 1000
"""Of KernelShap for each class, as in the paper."""
PAPER_PASSES = 2544
"""For a 300^3 scan, 96^3 windows at a quarter of overlap and 128^3 cubes."""


def cube_ids(case: Case, side: int) -> NDArray[np.int64]:
    """Return the cube of each voxel ``[X, Y, Z]``, ids from 0."""
    x, y, z = (np.arange(n) // side for n in case.image.shape[1:])
    return (x[:, None, None] * (y[-1] + 1) + y[:, None]) * (z[-1] + 1) + z


class WindowPasses:
    """Counts the windows that pass a network, while it is entered."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.network, self.n = network, 0

    def __enter__(self) -> WindowPasses:
        self.hook = self.network.register_forward_hook(self._count)
        return self

    def __exit__(self, *_: object) -> None:
        self.hook.remove()

    def _count(self, module: torch.nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        self.n += len(inputs[0])


class Game:
    """The aggregated outputs of all classes by who is on, each window evaluated once a coalition.

    It spares Captum's estimate the passes, not the sampling: what KernelShap draws, weighs and fits is
    its own, and 1000 samples of every class cost no more than the distinct masked windows.
    """

    def __init__(self, case: Case, ids: NDArray[np.int64]) -> None:
        self.case, self.ids = case, torch.from_numpy(ids)
        self.n_windows_over = torch.zeros(ids.shape)
        for window in case.tiling.windows:
            self.n_windows_over[window] += 1
        self.players = [np.unique(ids[window]) for window in case.tiling.windows]
        self.known: dict[tuple[int, bytes], NDArray[np.float64]] = {}

    @torch.no_grad()
    def __call__(self, on: torch.Tensor, c: int) -> torch.Tensor:
        """Return the output of a class ``[1]`` with the players `on` ``[1, n_players]``."""
        total, flags = 0.0, on[0].bool().numpy()
        for i, window in enumerate(self.case.tiling.windows):
            key = (i, flags[self.players[i]].tobytes())
            if key not in self.known:
                masked = self.case.image[:, *window] * on[0][self.ids[window]]
                self.known[key] = self._outputs(masked[None], i)
            total += self.known[key][c]
        return torch.tensor([total], dtype=torch.float64)

    def _outputs(self, inputs: torch.Tensor, index: int) -> NDArray[np.float64]:
        window = self.case.tiling.windows[index]
        labels = torch.from_numpy(self.case.prediction.labels[window]).long()
        own = self.case.model.network(inputs)[0].gather(0, labels[None])[0] / self.n_windows_over[window]
        sums = np.bincount(labels.flatten(), own.double().flatten(), self.case.model.n_classes)
        return np.asarray(sums, np.float64)  # [L]


def captum_values(game: Game, n_players: int, c: int, n_samples: int) -> NDArray[np.float64]:
    """Return Captum's estimate of a class's values ``[n_players]``."""
    torch.manual_seed(c)
    np.random.seed(c)
    kernel_shap = KernelShap(lambda on: game(on, c))
    return kernel_shap.attribute(torch.ones(1, n_players), n_samples=n_samples)[0].double().numpy()


def captum_seconds(case: Case, ids: NDArray[np.int64], n_samples: int) -> float:
    """Return the seconds that Captum takes for one class, through MONAI's sliding window."""
    c = case.present[-1]
    kernel_shap = KernelShap(partial(case.class_output, c))
    started = time.perf_counter()
    with torch.no_grad():
        kernel_shap.attribute(
            case.image[None], feature_mask=torch.from_numpy(ids)[None, None], n_samples=n_samples
        )
    return time.perf_counter() - started


def rows(case: Case, side: int, n_repeats: int, n_timed: int, n_samples: int = CAPTUM_SAMPLES) -> list[Row]:
    """Return the rows; Captum's time is that of one class and `n_timed` samples, scaled up.

    Parameters
    ----------
    case : Case
        What is explained.
    side : int
        Of the cubes, in voxels.
    n_repeats : int
        Repeats of what is timed.
    n_timed : int
        Samples of Captum's that are run in full.
    n_samples : int
        Samples that Captum's estimate has for each class.
    """
    ids = cube_ids(case, side)
    n_players = int(ids.max()) + 1
    game = Game(case, ids)
    n_evaluations = len(case.present) * n_samples
    faster, ours, theirs, n_counted = [], [], [], []
    for _ in range(n_repeats):
        theirs.append(captum_seconds(case, ids, n_timed) * n_evaluations / n_timed)
        with WindowPasses(case.model.network) as counted:
            started = time.perf_counter()
            explained = explain(case, "shapley_cubes", cube_side=side, spread="repeat")
            ours.append(time.perf_counter() - started)
        n_counted.append(float(counted.n))
        faster.append(theirs[-1] / ours[-1])
    n_needed = (
        sum(2 ** len(players) - 1 for players in game.players) + 1
    )  # all off is the same window everywhere
    first = np.array([np.argmax(ids == p) for p in range(n_players)])
    errors = []
    for c in case.present:
        exact = explained[case.model.class_names[c]].ravel()[first].astype(np.float64)
        estimate = captum_values(game, n_players, c, n_samples)
        errors.append(float(np.linalg.norm(estimate - exact) / np.linalg.norm(exact)))
    n_windows = len(case.tiling.windows)
    captum = f"Captum's KernelShap of {n_samples} samples a class"
    return [
        Row("shapley_cubes of all classes, window passes", Spread(tuple(n_counted)), at_most=n_needed),
        once(f"{captum}, window passes", n_windows * n_evaluations),
        Row("shapley_cubes of all classes, seconds", Spread(tuple(ours))),
        Row(f"{captum}, seconds (from one class and {n_timed} samples)", Spread(tuple(theirs))),
        Row("times faster", Spread(tuple(faster)), at_least=1),
        Row(f"{captum}, relative error of the values over classes", Spread(tuple(errors))),
        once("paper's geometry, planned window passes", paper_passes(), at_most=PAPER_PASSES),
    ]


def paper_passes() -> int:
    """Return how many window passes the plan says for the paper's scans."""
    tiling = Tiling(WindowSettings(shape=(96, 96, 96), overlap=0.25), (300, 300, 300))
    return make_method("shapley_cubes").passes(Geometry(tiling, 1, 17, 17)).forward
