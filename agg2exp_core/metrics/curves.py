"""Deletion and insertion: what an output loses, or regains, as parts leave or return by their attribution.

Both are chains of coalitions from the baseline to the scan. What is deleted most important first is what
returns least important first, read backwards, and the area under both is the same: so an area is always
taken while parts return.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from agg2exp_core.attribution import Geometry, Method, Passes, Problem
from agg2exp_core.attribution.baselines import Baseline, baseline_image
from agg2exp_core.attribution.coalitions import Coalitions, Values
from agg2exp_core.attribution.games import MaskedScan, worth_of
from agg2exp_core.attribution.players import NO_PLAYER
from agg2exp_core.execution import fitting_windows
from agg2exp_core.metrics.metric import EvaluatedScan, Metric, OutputDrops, Score, Subject
from agg2exp_core.metrics.outputs import Readout, check_readout
from agg2exp_core.metrics.regions import of_classes
from agg2exp_core.random import generator
from agg2exp_core.settings import Settings

Parts = NDArray[np.integer[Any]]
"""Which part of a scan a voxel belongs to ``[X, Y, Z]``, from 0."""


def chain(order: Sequence[int] | NDArray[np.integer[Any]]) -> Coalitions:
    """Return who is on as parts return in an order ``[n_parts + 1, n_parts]``, from nobody to everybody."""
    n_parts = len(order)
    returns_at = np.empty(n_parts, int)
    returns_at[order] = np.arange(n_parts)
    return returns_at < np.arange(n_parts + 1)[:, None]


class Readings(Settings):
    """What removed parts become, how outputs are read, and how many random orders there are."""

    n_random: Annotated[int, Field(ge=2)] = 3
    """Random orders, shared by all methods and classes."""
    baseline: Baseline = "zero"
    """What removed voxels become."""
    aggregation: str = "sum"
    """``sum``, ``mean``, ``probability`` or ``margin``."""

    def model_post_init(self, context: Any, /) -> None:
        """Refuse outputs without a meaning."""
        check_readout(self.aggregation, "fixed", "logits")

    def problem(self, clean: EvaluatedScan) -> Problem:
        """Return the scan as the engine sees it."""
        return Readout(clean, self.aggregation).problem

    def worth(
        self, clean: EvaluatedScan, problem: Problem, parts: Parts, on: Coalitions, classes: Sequence[int]
    ) -> Values:
        """Return the outputs when some parts are on ``[n_coalitions, L]``, those of nobody subtracted."""
        base = baseline_image(self.baseline, problem.image, problem.model)
        ids = problem.tiling.pad(torch.as_tensor(parts.astype(np.int32)).to(problem.image.device), NO_PLAYER)

        def work(n_windows: int) -> Values:
            scan = MaskedScan.of(replace(problem, window_batch=n_windows), ids, base)
            return worth_of(scan, on[:, scan.players], classes)[0]

        values: Values = fitting_windows(clean.model, clean.execution.window_batch, work)
        return values


class RandomOrders(Readings):
    """Copies of a scan in which parts have returned in a random order: the rows of its chains."""

    n_steps: int | None
    """Random parts of equally many voxels; None for the predicted classes."""

    @property
    def recipe(self) -> Mapping[str, Any]:
        """What a row depends on, JSON-ready; how many there are is none of it."""
        return {"kind": "random_orders", **self.model_dump()} | {"n_random": None}

    def n_parts(self, n_classes: int) -> int:
        """Return the parts of each order."""
        return n_classes if self.n_steps is None else self.n_steps

    def most(self, n_classes: int) -> int:
        """Return the rows of all orders."""
        return self.n_random * (self.n_parts(n_classes) + 1)

    def output_drops(self, clean: EvaluatedScan, start: int, stop: int) -> OutputDrops:
        """Return the output drops of the rows `start` to `stop` ``[stop - start, L]``."""
        problem = self.problem(clean)
        classes = sorted(problem.clean.present)
        n_parts = self.n_parts(clean.model.n_classes)
        drops = np.full((stop - start, clean.model.n_classes), np.nan)
        for index in range(start // (n_parts + 1), -(-stop // (n_parts + 1))):
            first = index * (n_parts + 1)
            parts, order = self.drawn(clean, index)
            rows = slice(max(start, first) - first, min(stop, first + n_parts + 1) - first)
            on = np.concatenate([chain(order)[rows], np.ones((1, n_parts), bool)])
            worth = self.worth(clean, problem, parts, on, classes)
            there = slice(first + rows.start - start, first + rows.stop - start)
            drops[there, classes] = (worth[-1] - worth[:-1])[:, classes]
        return drops

    def drawn(self, clean: EvaluatedScan, index: int) -> tuple[Parts, NDArray[np.int64]]:
        """Return the parts of a random order, and the order."""
        labels, n_parts = clean.prediction.labels, self.n_parts(clean.model.n_classes)
        rng = generator(clean.seed, clean.scan.scan_id, "order", self.n_steps, index)
        if self.n_steps is None:
            return labels, rng.permutation(n_parts)
        ranks = rng.permutation(labels.size).reshape(labels.shape)
        return ranks * n_parts // labels.size, np.arange(n_parts)


class _Area(Readings, Metric):
    """Area under the output as parts return, less its mean over random orders.

    The output is taken as a share of its fall to the baseline: 0 with nothing there, 1 with all of it.
    NaN where it does not fall. Random orders have a standard error; the details hold both areas.
    """

    bounds = (-np.inf, np.inf)
    unit = "area less that of random orders"
    most_first: ClassVar[bool]
    """Whether the most important returns first: insertion; else it is the last to return: deletion."""

    @property
    def perturbations(self) -> RandomOrders:
        """The random orders."""
        return RandomOrders(n_steps=None, **{name: getattr(self, name) for name in Readings.model_fields})

    @abstractmethod
    def curves(self, subject: Subject, problem: Problem) -> Iterator[tuple[str, Values, NDArray[np.bool_]]]:
        """Yield a class, its output at each step of its chain, and which steps add a part that is there."""

    def scores(self, subject: Subject, output_drops: Callable[[int], OutputDrops]) -> Mapping[str, Score]:
        """Return the score of each class of a subject."""
        clean, random = subject.clean, self.perturbations
        n_classes = clean.model.n_classes
        drops = output_drops(random.most(n_classes)).reshape(self.n_random, -1, n_classes)
        orders = [random.drawn(clean, n) for n in range(self.n_random)]
        present = [np.isin(order, parts) for parts, order in orders]
        scores = {}
        for name, outputs, there in self.curves(subject, self.problem(clean)):
            c = clean.model.class_names.index(name)
            by_chance = [
                _area(rows[0] - rows, adds) for rows, adds in zip(drops[:, :, c], present, strict=True)
            ]
            area, expected = _area(outputs, there), float(np.mean(by_chance))
            error = float(np.std(by_chance, ddof=1)) / len(by_chance) ** 0.5
            details = {"area": area, "random": expected, "output_drop": float(outputs[-1] - outputs[0])}
            scores[name] = Score(area - expected, None if np.isnan(error) else error, details)
        return scores

    def _order(self, sizes: NDArray[Any]) -> NDArray[np.int64]:
        """Return the parts in the order of their return, from the size of their attributions."""
        order = np.argsort(sizes, kind="stable")
        return order[::-1] if self.most_first else order


def _area(outputs: NDArray[np.float64], adds: NDArray[np.bool_]) -> float:
    """Return the area under outputs ``[n_parts + 1]`` by shares of their rise; an empty part has no width."""
    rise = float(outputs[-1] - outputs[0])
    if not rise > 0:
        return float("nan")
    along = np.concatenate([[0], np.cumsum(adds)]) / adds.sum()
    return float(np.trapezoid((outputs - outputs[0]) / rise, along))


class _VoxelArea(_Area):
    n_steps: Annotated[int, Field(ge=2)] = 10
    """Parts of equally many voxels that return one after the other."""

    @property
    def perturbations(self) -> RandomOrders:
        """Random orders of random parts."""
        return super().perturbations.model_copy(update={"n_steps": self.n_steps})

    def curves(self, subject: Subject, problem: Problem) -> Iterator[tuple[str, Values, NDArray[np.bool_]]]:
        """Yield the outputs as voxels return by quantiles of their attribution's size, ties drawn."""
        clean = subject.clean
        labels = clean.prediction.labels
        rng = generator(clean.seed, clean.scan.scan_id, "ties")
        ties = rng.permutation(labels.size)
        for name in subject.classes:
            c = clean.model.class_names.index(name)
            values = np.abs(subject.on_voxels(name))
            size = values.reshape(-1, *labels.shape).sum(axis=0).ravel()
            ranks = np.empty(labels.size, int)
            ranks[np.lexsort((ties, size))] = np.arange(labels.size)
            parts = (ranks * self.n_steps // labels.size).reshape(labels.shape)
            on = chain(self._order(np.arange(self.n_steps)))
            yield name, self.worth(clean, problem, parts, on, [c])[:, c], np.ones(self.n_steps, bool)

    def passes(self, geometry: Geometry, method: Method) -> Passes:
        """Return the passes of each class's own chain, at most."""
        n_scans = (self.n_steps + 1) * geometry.n_explained + (self.aggregation == "margin")
        return Passes(n_scans * geometry.n_windows)


class _RegionArea(_Area):
    def curves(self, subject: Subject, problem: Problem) -> Iterator[tuple[str, Values, NDArray[np.bool_]]]:
        """Yield the outputs as predicted classes return by their mass in the row of the matrix."""
        clean, matrix = subject.clean, subject.matrix()["mass"]
        names, labels = clean.model.class_names, clean.prediction.labels
        orders = [self._order(np.nan_to_num(of_classes(matrix, name, names))) for name in subject.classes]
        classes = [names.index(name) for name in subject.classes]
        on = np.concatenate([chain(order) for order in orders])
        worth = self.worth(clean, problem, labels, on, classes).reshape(len(orders), -1, len(names))
        for name, c, order, outputs in zip(subject.classes, classes, orders, worth, strict=True):
            yield name, outputs[:, c], np.isin(order, labels)

    def passes(self, geometry: Geometry, method: Method) -> Passes:
        """Return the passes of all chains, at most: classes share what is alike in a window."""
        n_scans = 2 + (geometry.n_classes - 1) * geometry.n_explained
        n_scans = min(n_scans, 2**geometry.n_classes) + (self.aggregation == "margin")
        return Passes(n_scans * geometry.n_windows)


class Deletion(_VoxelArea):
    """Area under the output as voxels leave, most important first, less that of random orders."""

    name = "deletion"
    direction = "lower"
    most_first = False


class Insertion(_VoxelArea):
    """Area under the output as voxels return, most important first, less that of random orders."""

    name = "insertion"
    direction = "higher"
    most_first = True


class RoiDeletion(_RegionArea):
    """Area under the output as regions leave by their mass in the matrix, less that of random orders."""

    name = "roi_deletion"
    direction = "lower"
    most_first = False


class RoiInsertion(_RegionArea):
    """Area under the output as regions return by their mass in the matrix, less that of random orders."""

    name = "roi_insertion"
    direction = "higher"
    most_first = True
