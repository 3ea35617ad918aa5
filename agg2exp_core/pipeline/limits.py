"""How long a stage may take, from what it is planned to cost: what takes longer hangs."""

from __future__ import annotations

from functools import lru_cache

from agg2exp_core.attribution import Execution, estimate
from agg2exp_core.errors import ModelError
from agg2exp_core.execution import WindowCost, measure_window
from agg2exp_core.pipeline.cache import model_of, store_of
from agg2exp_core.pipeline.settings import ExplainSettings

BASE_S = 3600.0
"""For reading, writing and waiting, of every stage."""

TIMES = 10.0
"""How much slower than planned a stage may be: other work on the same device, a slow disk."""

UNPLANNED_S = 24 * 3600.0
"""Of a method that cannot say what it will cost."""


def attribution_limit_s(settings: ExplainSettings, scan_id: str, n_classes: int) -> float:
    """Return the seconds after which explaining classes of a stored scan counts as hung."""
    shape = store_of(settings.store).scan(scan_id).grid_shape()
    cost = _cost(settings.model, settings.device, settings.precision)
    try:
        planned = estimate(
            model_of(settings),
            settings.attribution_method,
            shape,
            n_classes,
            Execution(settings.window_batch),
            cost,
        ).seconds
    except ModelError:  # it does not fit, which the stage says better
        return BASE_S
    return UNPLANNED_S if planned is None else BASE_S + TIMES * planned


@lru_cache(maxsize=1)
def _cost(model: str, device: str, precision: str) -> WindowCost:
    """Return what a window costs, measured once in a process."""
    return measure_window(
        model_of(ExplainSettings(store=".", model=model, device=device, precision=precision))
    )
