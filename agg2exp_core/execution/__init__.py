"""How work is cut to fit the machine: windows per pass, classes at once, costs, and what really passed."""

from agg2exp_core.execution.batches import alike
from agg2exp_core.execution.cost import Tally, WindowCost, counted, measure_window
from agg2exp_core.execution.fitting import (
    Execution,
    available_bytes,
    fit_classes,
    fit_windows,
    fitting_windows,
    halve_windows,
    ran_out_of_memory,
    require_bytes,
)
from agg2exp_core.execution.slab import Slab
from agg2exp_core.execution.transfer import made_ahead, to_device, to_host

__all__ = [
    "Execution",
    "Slab",
    "Tally",
    "WindowCost",
    "alike",
    "available_bytes",
    "counted",
    "fit_classes",
    "fit_windows",
    "fitting_windows",
    "halve_windows",
    "made_ahead",
    "measure_window",
    "ran_out_of_memory",
    "require_bytes",
    "to_device",
    "to_host",
]
