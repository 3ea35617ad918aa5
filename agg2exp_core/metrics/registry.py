"""Metrics by name, a user's own among them, and their options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

from agg2exp_core.errors import UsageError, unknown_name
from agg2exp_core.metrics.complexity import Complexity
from agg2exp_core.metrics.curves import Deletion, Insertion, RoiDeletion, RoiInsertion
from agg2exp_core.metrics.efficiency import Efficiency
from agg2exp_core.metrics.faithfulness import Faithfulness
from agg2exp_core.metrics.metric import Metric
from agg2exp_core.metrics.randomisation import Randomisation
from agg2exp_core.metrics.regions import RoiDistance, RoiFaithfulness
from agg2exp_core.metrics.sensitivity import Sensitivity
from agg2exp_core.plugins import (
    check_settings,
    derived,
    fields_of,
    find_plugin,
    given_to,
    is_frozen_dataclass,
)

METRICS: dict[str, type[Metric]] = {
    metric.name: metric
    for metric in (
        Faithfulness,
        Deletion,
        Insertion,
        Sensitivity,
        Randomisation,
        Complexity,
        Efficiency,
        RoiFaithfulness,
        RoiDeletion,
        RoiInsertion,
        RoiDistance,
    )
}
"""All metrics, in the order of the table."""
ON_REQUEST = ("deletion", "insertion", "roi_deletion", "roi_insertion", "randomisation")
"""Metrics that a whole benchmark takes where they are named: they would double its passes."""
DEFAULT_METRICS = tuple(name for name in METRICS if name not in ON_REQUEST)
"""Metrics of a whole benchmark."""


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
    if name not in METRICS and ":" not in name:
        raise unknown_name("metric", name, METRICS, beside="module:attribute")
    kind = METRICS[name] if name in METRICS else _user_metric(name)
    return kind(**(params or {}))


def recipe(metric: Metric) -> dict[str, Any]:
    """Return all options of a metric, JSON-ready: what its scores depend on."""
    return {"metric": metric.name, **metric.model_dump(by_alias=True)}


def _user_metric(reference: str) -> type[Metric]:
    """Return a user's own metric under the name of its reference."""
    found = find_plugin("metric", reference)
    if not isinstance(found, type):
        raise _refused(reference, f"a {type(found).__name__}")
    return _metric(reference, found)


@cache
def _metric(reference: str, found: type) -> type[Metric]:
    """Return one class for what is found; a module that is loaded anew has another."""
    refused = partial(_refused, reference)
    if not issubclass(found, Metric) and is_frozen_dataclass(found) and hasattr(found, "scores"):
        found = _adapted(found, refused)
    if not issubclass(found, Metric):
        raise refused("a class that derives from no metric and is no frozen dataclass with scores")
    check_settings(found, refused)
    if getattr(found, "direction", None) not in ("higher", "lower"):
        raise refused("whose direction is neither 'higher' nor 'lower'")
    return derived(found, found, {"name": reference}, {})


def _adapted(kind: type, refused: Callable[[str], UsageError]) -> type[Metric]:
    """Return a metric with the fields of a user's dataclass, whose objects do the work."""

    def calling(name: str) -> Callable[..., Any]:
        return lambda self, *arguments: getattr(kind(**given_to(self)), name)(*arguments)

    names = ("direction", "bounds", "unit", "needs_exact_matrix")
    members: dict[str, Any] = {name: getattr(kind, name) for name in names if hasattr(kind, name)}
    members |= {name: calling(name) for name in ("scores", "passes") if hasattr(kind, name)}
    if hasattr(kind, "perturbations"):
        members["perturbations"] = property(lambda self: kind(**given_to(self)).perturbations)
    fields = fields_of(inspect.signature(kind).parameters.values(), kind, refused)
    return derived(Metric, kind, members, fields)  # type: ignore[type-abstract]


def _refused(reference: str, got: str) -> UsageError:
    return UsageError(
        "metric",
        got=f"{reference!r}, {got}",
        allowed="a class deriving from agg2exp_core.metrics.Metric, whose fields have defaults, with "
        "direction ('higher' or 'lower') and scores(subject, output_drops)",
        remedy="write it so",
    )
