"""Metrics by name, and their options from text."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from agg2exp_core.attribution.registry import nearest, parse_fields
from agg2exp_core.errors import UsageError
from agg2exp_core.metrics.complexity import Complexity
from agg2exp_core.metrics.efficiency import Efficiency
from agg2exp_core.metrics.faithfulness import Faithfulness
from agg2exp_core.metrics.metric import Metric
from agg2exp_core.metrics.regions import RoiDistance, RoiFaithfulness
from agg2exp_core.metrics.sensitivity import Sensitivity

METRICS: dict[str, type[Metric]] = {
    metric.name: metric
    for metric in (Faithfulness, Sensitivity, Complexity, Efficiency, RoiFaithfulness, RoiDistance)
}
"""All metrics, in the order of the table."""


def make_metric(name: str, params: Mapping[str, Any] | None = None) -> Metric:
    """Return a metric with its options, given as values or as text.

    Raises
    ------
    UsageError
        If the metric or an option does not exist, or a value is not of its type or range.
    """
    if name not in METRICS:
        raise UsageError("metric", got=f"{name!r}", allowed=", ".join(METRICS), remedy=nearest(name, METRICS))
    kind = METRICS[name]
    return kind(**parse_fields(kind, name, params or {}))


def recipe(metric: Metric) -> dict[str, Any]:
    """Return all options of a metric, JSON-ready: what its scores depend on."""
    return {"metric": metric.name, **dataclasses.asdict(metric)}
