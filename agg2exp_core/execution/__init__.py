"""How work is cut to fit the machine: windows per pass, classes at once, costs, and what really passed."""

from agg2exp_core.execution.cost import Tally, WindowCost, counted, measure_window
from agg2exp_core.execution.fitting import (
    Execution,
    available_bytes,
    fit_classes,
    fit_windows,
    fitting_windows,
    halve_windows,
    require_bytes,
)
from agg2exp_core.execution.slab import Slab

__all__ = [
    "Execution",
    "Slab",
    "Tally",
    "WindowCost",
    "available_bytes",
    "counted",
    "fit_classes",
    "fit_windows",
    "fitting_windows",
    "halve_windows",
    "measure_window",
    "require_bytes",
]
