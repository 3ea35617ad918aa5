"""How far an attribution can be trusted: metrics, each with a direction, a range and its options.

Perturbed outputs depend on the scan alone, not on the method or the class: they are made once a
scan (`Perturbations`) and shared by whatever is judged.
"""

from agg2exp_core.metrics.metric import (
    REFERENCE_METHOD,
    EvaluatedScan,
    Metric,
    OutputDrops,
    Perturbations,
    Score,
    Subject,
)
from agg2exp_core.metrics.registry import DEFAULT_METRICS, METRICS, make_metric, recipe

__all__ = [
    "DEFAULT_METRICS",
    "METRICS",
    "REFERENCE_METHOD",
    "EvaluatedScan",
    "Metric",
    "OutputDrops",
    "Perturbations",
    "Score",
    "Subject",
    "make_metric",
    "recipe",
]
