"""Metrics by name, a user's own among them, and their options from text."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

from agg2exp_core.attribution.method import Geometry, Method, Passes
from agg2exp_core.attribution.registry import nearest, parse_fields
from agg2exp_core.errors import UsageError
from agg2exp_core.metrics.complexity import Complexity
from agg2exp_core.metrics.efficiency import Efficiency
from agg2exp_core.metrics.faithfulness import Faithfulness
from agg2exp_core.metrics.metric import Metric
from agg2exp_core.metrics.regions import RoiDistance, RoiFaithfulness
from agg2exp_core.metrics.sensitivity import Sensitivity
from agg2exp_core.references import find

METRICS: dict[str, type[Metric]] = {
    metric.name: metric
    for metric in (Faithfulness, Sensitivity, Complexity, Efficiency, RoiFaithfulness, RoiDistance)
}
"""All metrics, in the order of the table."""


_CONTRACT = (
    "a frozen dataclass whose fields have defaults, with direction ('higher' or 'lower'), bounds, unit and "
    "scores(subject, falls)"
)


def make_metric(name: str, params: Mapping[str, Any] | None = None) -> Metric:
    """Return a metric with its options, given as values or as text.

    Parameters
    ----------
    name : str
        A key of `METRICS`, or ``module:attribute`` for a user's own.
    params : mapping, optional
        Options by name; what is left out has its default.

    Raises
    ------
    UsageError
        If the metric or an option does not exist, or a value is not of its type or range.
    """
    kind = METRICS[name] if name in METRICS else _own_metric(name)
    return kind(**parse_fields(kind, name, params or {}))


def _own_metric(reference: str) -> type[Metric]:
    if ":" not in reference:
        raise UsageError(
            "metric",
            got=f"{reference!r}",
            allowed=f"{', '.join(METRICS)} or module:attribute",
            remedy=nearest(reference, METRICS),
        )
    kind = find("metric", reference)
    params = getattr(kind, "__dataclass_params__", None)
    says = isinstance(kind, type) and params is not None and params.frozen
    if (
        not says
        or getattr(kind, "direction", None) not in ("higher", "lower")
        or not all(hasattr(kind, name) for name in ("bounds", "unit", "scores"))
        or any(field.default is dataclasses.MISSING for field in dataclasses.fields(kind))
    ):
        raise UsageError("metric", got=f"{reference!r}", allowed=_CONTRACT, remedy="write it so")
    defaults = {"perturbations": None, "passes": _no_passes}
    attributes = {name: value for name, value in defaults.items() if not hasattr(kind, name)}
    names = {"name": reference, "__doc__": kind.__doc__, "__module__": kind.__module__}
    return cast(type[Metric], type(kind.__name__, (kind,), attributes | names))


def _no_passes(metric: Metric, geometry: Geometry, method: Method) -> Passes:
    return Passes(0)


def recipe(metric: Metric) -> dict[str, Any]:
    """Return all options of a metric, JSON-ready: what its scores depend on."""
    return {"metric": metric.name, **dataclasses.asdict(metric)}
