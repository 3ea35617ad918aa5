"""What a benchmark was asked to do: plain data that survives the way to a worker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
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
        Of the metric, or ``module:attribute`` of a user's own.
    params : dict
        Its options; what is left out has its default.
    """

    name: str
    params: dict[str, Any] = field(default_factory=dict)

    @property
    def metric(self) -> Metric:
        """The metric."""
        return make_metric(self.name, self.params)

    @property
    def label(self) -> str:
        """Its name in the store."""
        return self.name.replace(":", ".")


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


def benchmark_of(
    base: ExplainSettings,
    methods: Iterable[str],
    metrics: Iterable[str],
    method_params: Mapping[str, Mapping[str, Any]] | None = None,
    metric_params: Mapping[str, Mapping[str, Any]] | None = None,
) -> BenchmarkSettings:
    """Return the settings of a benchmark: of each method and metric, by name, with its parameters if given.

    Parameters
    ----------
    base : ExplainSettings
        Store, model, classes, seed, device; its method and label are left out.
    methods, metrics : iterable of str
        Names.
    method_params, metric_params : mapping of str to mapping, optional
        Parameters by name of the method or metric.
    """

    def explained(name: str, params: Mapping[str, Any]) -> ExplainSettings:
        return replace(base, method=name, params=dict(params), label=None)

    of_method, of_metric = method_params or {}, metric_params or {}
    return BenchmarkSettings(
        [explained(name, of_method.get(name, {})) for name in methods],
        [MetricChoice(name, dict(of_metric.get(name, {}))) for name in metrics],
        explained(*YARDSTICK),
    )
