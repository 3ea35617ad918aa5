"""Efficiency: what a method costs, in seconds here and in passes anywhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch

from agg2exp_core.attribution import Geometry, Method, Passes, attribute_planes
from agg2exp_core.execution import counted
from agg2exp_core.metrics.metric import Metric, OutputDrops, Score, Subject


class Efficiency(Metric):
    """Seconds of the method alone on all classes of a scan together, shared evenly by them.

    Nothing is stored meanwhile. The details count the windows that passed the network forward and
    backward, which no machine changes.
    """

    name = "efficiency"
    direction = "lower"
    bounds = (0.0, float("inf"))
    unit = "seconds a class"

    def scores(self, subject: Subject, output_drops: Callable[[int], OutputDrops]) -> Mapping[str, Score]:
        """Return the score of each class of a subject."""
        clean = subject.clean
        with counted(clean.model) as (model, tally):
            _synchronize(model.device)
            started = time.perf_counter()
            for _ in attribute_planes(
                model,
                clean.scan,
                subject.method,
                subject.classes,
                clean.prediction,
                clean.seed,
                execution=clean.execution,
            ):
                pass
            _synchronize(model.device)
            seconds = time.perf_counter() - started
        details = {
            "seconds_of_scan": seconds,
            "n_classes": len(subject.classes),
            "forward_passes": tally.forward,
            "backward_passes": tally.backward,
            "device": str(model.device),
        }
        return {name: Score(seconds / len(subject.classes), None, details) for name in subject.classes}

    def passes(self, geometry: Geometry, method: Method) -> Passes:
        """Return the passes of the method, at most."""
        return method.passes_of_scan(geometry) or Passes(0)


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
