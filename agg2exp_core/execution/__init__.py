"""How work is cut to fit the machine: windows per pass, classes at once, what a window costs."""

from agg2exp_core.execution.cost import WindowCost, measure_window
from agg2exp_core.execution.fitting import (
    Execution,
    available_bytes,
    fit_classes,
    fit_windows,
    fitting_windows,
    halve_windows,
    require_bytes,
)

__all__ = [
    "Execution",
    "WindowCost",
    "available_bytes",
    "fit_classes",
    "fit_windows",
    "fitting_windows",
    "halve_windows",
    "measure_window",
    "require_bytes",
]
