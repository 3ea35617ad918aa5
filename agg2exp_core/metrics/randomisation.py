"""Randomisation: whether an attribution changes when what the model has learnt is taken away."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from agg2exp_core.attribution import Geometry, Method, Passes, attribute_planes
from agg2exp_core.metrics.faithfulness import correlate
from agg2exp_core.metrics.metric import Metric, OutputDrops, Score, Subject
from agg2exp_core.metrics.regions import of_classes
from agg2exp_core.random import generator
from agg2exp_core.types import SegmentationModel

Samples = NDArray[np.float64]
"""Absolute attributions at some voxels ``[n]``, or of regions ``[L]``."""


def layers(model: SegmentationModel) -> list[str]:
    """Return the modules with weights of their own, from the output to the input.

    The order is that in which a window passes them, last first; what does not pass comes at the end.
    """
    network, passed = copy.deepcopy(model.network), dict[str, int]()
    named = {
        name: module for name, module in network.named_modules() if list(module.parameters(recurse=False))
    }
    for name, module in named.items():
        module.register_forward_hook(lambda *_, name=name: passed.update({name: len(passed)}))
    window = torch.zeros(1, model.n_channels, *model.windows.shape, dtype=model.dtype, device=model.device)
    with torch.no_grad():
        network(window)
    return sorted(named, key=lambda name: -passed.get(name, -1))


def randomised(model: SegmentationModel, chosen: Sequence[str], seed: int) -> SegmentationModel:
    """Return a model whose weights in some modules are drawn anew, the others as they are.

    Each tensor is drawn from a normal distribution of its own mean and standard deviation, so that what
    follows sees inputs of a usual size; the draws of a tensor depend on the seed and its name alone.
    """
    network = copy.deepcopy(model.network)
    for layer in chosen:
        for name, weights in network.get_submodule(layer).named_parameters(recurse=False):
            drawn = generator(seed, "randomisation", f"{layer}.{name}").standard_normal(tuple(weights.shape))
            mean, deviation = weights.detach().double().mean(), weights.detach().double().std(correction=0)
            with torch.no_grad():
                weights.copy_(mean + deviation * torch.from_numpy(drawn).to(mean))
    return replace(model, network=network)


class Randomisation(Metric):
    """Likeness of the attribution to that of the model with weights drawn anew, from the output down.

    Spearman correlation of absolute values (Adebayo et al. 2018), its mean over stages: in the last one no
    weight is left, in the others equally many layers more in each. Masks stay those of the trained model. The
    details hold the correlation at each stage, of voxels and of rows of the matrix over predicted classes.
    A method whose attributions stay alike does not tell what the model has learnt.
    """

    name = "randomisation"
    direction = "lower"
    bounds = (-1.0, 1.0)
    unit = "correlation"

    n_stages: Annotated[int, Field(ge=1)] = 3
    """Models with more and more layers drawn anew."""
    n_voxels: Annotated[int, Field(ge=3)] = 100_000
    """Voxels on which attributions are compared, drawn; all of a smaller scan."""

    def scores(self, subject: Subject, output_drops: Callable[[int], OutputDrops]) -> Mapping[str, Score]:
        """Return the score of each class of a subject."""
        clean, matrix = subject.clean, subject.matrix()["mass"]
        model, order = clean.model, layers(clean.model)
        voxels = self._voxels(subject)
        before = {name: _at(subject.on_voxels(name), voxels) for name in subject.classes}
        rows = {name: of_classes(matrix, name, model.class_names) for name in subject.classes}
        alike: dict[str, list[float]] = {name: [] for name in subject.classes}
        rows_alike: dict[str, list[float]] = {name: [] for name in subject.classes}
        counts = [-(-len(order) * (n + 1) // self.n_stages) for n in range(self.n_stages)]
        for n_layers in counts:
            changed = randomised(model, order[:n_layers], clean.seed)
            for name, (values, row) in self._explained(subject, changed, voxels).items():
                alike[name].append(correlate(before[name], values, ranks=True))
                rows_alike[name].append(correlate(rows[name], row, ranks=True))
        return {
            name: Score(
                float(np.mean(alike[name])),
                None,
                {"voxels": alike[name], "rows": rows_alike[name], "n_layers": counts},
            )
            for name in subject.classes
        }

    def _voxels(self, subject: Subject) -> NDArray[np.int64]:
        """Return the flat indices of the voxels that are compared, in ascending order ``[n]``."""
        clean, size = subject.clean, subject.clean.prediction.labels.size
        rng = generator(clean.seed, clean.scan.scan_id, "randomisation")
        return np.sort(rng.choice(size, min(self.n_voxels, size), replace=False, shuffle=False))

    def _explained(
        self, subject: Subject, model: SegmentationModel, voxels: NDArray[np.int64]
    ) -> dict[str, tuple[Samples, Samples]]:
        """Return what a model's attributions are at voxels ``[n]`` and regions ``[L]``, class by class."""
        clean, labels = subject.clean, subject.clean.prediction.labels
        in_plane = labels[0].size
        found: dict[str, tuple[Samples, Samples]] = {}
        for planes in attribute_planes(
            model,
            clean.scan,
            subject.method,
            subject.classes,
            clean.prediction,
            clean.seed,
            execution=clean.execution,
        ):
            part = slice(planes.start, planes.stop)
            first, last = np.searchsorted(voxels, [planes.start * in_plane, planes.stop * in_plane])
            scale = 1 if subject.scale is None else subject.scale[part]
            for name, values in planes.by_class():
                if planes.start == 0:
                    found[name] = np.empty(len(voxels)), np.zeros(model.n_classes)
                at, row = found[name]
                at[first:last] = _at(values * scale, voxels[first:last] - planes.start * in_plane)
                size = _size(values)
                row += np.bincount(labels[part].ravel(), size.ravel(), minlength=len(row))
        absent = np.bincount(labels.ravel(), minlength=model.n_classes) == 0
        for _, row in found.values():
            row[absent] = np.nan
        return found

    def passes(self, geometry: Geometry, method: Method) -> Passes:
        """Return the passes of explaining each model, and of the window that tells the order of layers."""
        return (method.passes_of_scan(geometry) or Passes(0)).times(self.n_stages).plus(Passes(1))


def _size(values: NDArray[np.floating]) -> Samples:
    """Return absolute values, summed over channels if there are several ``[X, Y, Z]``."""
    of_channels: Samples = np.abs(values.reshape(-1, *values.shape[-3:])).sum(axis=0, dtype=np.float64)
    return of_channels


def _at(values: NDArray[np.floating], voxels: NDArray[np.int64]) -> Samples:
    """Return the absolute attributions at flat indices ``[n]``."""
    return _size(values).ravel()[voxels]
