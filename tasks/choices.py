"""What a benchmark was asked to do: plain data that survives the way to a worker."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agg2exp_core.metrics import Metric, make_metric
from tasks.settings import ExplainSettings

YARDSTICK = ("shapley_semantic", {"max_exact_players": 13})
"""The method whose matrix the others are measured against."""


@dataclass(frozen=True)
class MetricChoice:
    """A metric and its options.

    Parameters
    ----------
    name : str
        Of the metric.
    params : dict
        Its options; what is left out has its default.
    """

    name: str
    params: dict[str, Any] = field(default_factory=dict)

    @property
    def metric(self) -> Metric:
        """The metric."""
        return make_metric(self.name, self.params)


@dataclass(frozen=True)
class BenchmarkSettings:
    """What is benchmarked.

    Parameters
    ----------
    methods : list of ExplainSettings
        One a method; they share store, model, classes and seed.
    metrics : list of MetricChoice
        How each is judged.
    yardstick : ExplainSettings
        The method whose matrix is exact.
    """

    methods: list[ExplainSettings]
    metrics: list[MetricChoice]
    yardstick: ExplainSettings

    @property
    def explained(self) -> list[ExplainSettings]:
        """All whose attributions are needed, the yardstick among them where a metric asks for it."""
        exact = any(choice.name == "roi_distance" for choice in self.metrics)
        beside = [self.yardstick] if exact and self.yardstick not in self.methods else []
        return [*self.methods, *beside]
