"""How many windows pass the network together, and how many classes are held at once.

What fits is asked of the device before the work and, where that was wrong, learnt from it: when
memory runs out, half as many windows pass together, and the process remembers.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

from agg2exp_core.errors import ModelError, out_of_range
from agg2exp_core.execution.cost import measure_window
from agg2exp_core.memory import free_bytes
from agg2exp_core.types import SegmentationModel

Result = TypeVar("Result")

_SHARE = 0.5
"""Of the free memory, what volumes or windows may take."""

_MOST_WINDOWS = 16
"""Beyond this a GPU is busy with any network that needs windows."""

_NO_MEMORY = ("_ALLOC_FAILED", "_ALLOCATION_FAILED", "CUDA error: out of memory", "can't allocate memory")
"""What cuDNN, cuBLAS, CUDA and the CPU's allocator say when memory runs out; PyTorch hands it on as it is."""

_chosen: dict[tuple[str, str], int] = {}
"""Windows per pass that were chosen by model and device, while the process lives."""

_limits: dict[tuple[str, str], int] = {}
"""Windows per pass beyond which memory ran out, likewise."""


@dataclass(frozen=True)
class Execution:
    """How the work is cut; no result depends on it beyond rounding.

    Parameters
    ----------
    window_batch : int or None
        Windows per pass of the network, at most; None for what fits.
    class_batch : int or None
        Classes whose attributions are held at once, at most; None for what fits. The methods that
        play games with supervoxels hold one.

    Raises
    ------
    UsageError
        If a number is less than one.
    """

    window_batch: int | None = None
    class_batch: int | None = None

    def __post_init__(self) -> None:
        for name in ("window_batch", "class_batch"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                allowed = "a whole number from 1, or None for what fits"
                raise out_of_range(name, repr(value), allowed, remedy=f"leave {name} out")


def available_bytes(device: torch.device) -> int:
    """Return the memory that is free on a device now; of a container, within its own limit."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + unused)
    return free_bytes()


def require_bytes(model: SegmentationModel, n_bytes: int, purpose: str) -> None:
    """Refuse work that the model's device has no memory for.

    Parameters
    ----------
    model : SegmentationModel
        The model, on its device.
    n_bytes : int
        Predicted peak of the work, on top of what is loaded.
    purpose : str
        What the memory is for, as a noun phrase that names the sizes.

    Raises
    ------
    ModelError
        If `n_bytes` exceeds the memory that is free now.
    """
    free = available_bytes(model.device)
    if n_bytes > free:
        raise ModelError(
            model.name,
            got=f"{purpose}, which needs {n_bytes / 1e9:,.2f} GB of memory on {model.device}",
            allowed=f"at most the {free / 1e9:,.2f} GB that are free there",
            remedy="crop the scan, or use a device with more memory",
        )


def fit_windows(model: SegmentationModel, wanted: int | None) -> int:
    """Return how many windows pass together: at most `wanted`, at most what was found to fit.

    Notes
    -----
    On a CPU that is one: more of them gain nothing there. On a GPU it is the largest power of two
    whose passes take no more than half of the free memory.
    """
    key = (model.fingerprint, str(model.device))
    if wanted is None and key not in _chosen:
        _chosen[key] = _choose_windows(model)
    n_windows = _chosen[key] if wanted is None else wanted
    return min(n_windows, _limits.get(key, n_windows))


def _choose_windows(model: SegmentationModel) -> int:
    if model.device.type != "cuda":
        return 1
    room = _SHARE * available_bytes(model.device) / max(measure_window(model).n_bytes, 1)
    return int(2 ** math.floor(math.log2(min(max(room, 1), _MOST_WINDOWS))))


def ran_out_of_memory(error: RuntimeError) -> bool:
    """Say whether an error of PyTorch's is that memory ran out: of its own allocator, or of a library's."""
    return isinstance(error, torch.OutOfMemoryError) or any(said in str(error) for said in _NO_MEMORY)


def halve_windows(model: SegmentationModel, tried: int) -> int:
    """Remember that `tried` windows do not fit; return half as many."""
    _limits[model.fingerprint, str(model.device)] = max(tried // 2, 1)
    if model.device.type == "cuda":
        gc.collect()  # what a failed pass holds in cycles
        torch.cuda.empty_cache()
    return max(tried // 2, 1)


def fitting_windows(model: SegmentationModel, wanted: int | None, work: Callable[[int], Result]) -> Result:
    """Call `work` with windows per pass, from the start with half as many when memory runs out.

    Raises
    ------
    RuntimeError
        If a single window does not fit (`ran_out_of_memory`), or whatever else the work raises.
    """
    n_windows = fit_windows(model, wanted)
    while True:
        try:
            return work(n_windows)
        except RuntimeError as error:
            if n_windows == 1 or not ran_out_of_memory(error):
                raise
        n_windows = halve_windows(model, n_windows)  # here the failed pass has let go of its memory


def fit_classes(model: SegmentationModel, wanted: int | None, class_bytes: int, n_classes: int) -> int:
    """Return how many classes are held at once: at most `wanted`, in at most half of the free memory.

    Parameters
    ----------
    model : SegmentationModel
        The model, on its device.
    wanted : int or None
        As in `Execution.class_batch`.
    class_bytes : int
        Memory of one class's attribution.
    n_classes : int
        Classes that are asked for.
    """
    if wanted is None:
        wanted = int(_SHARE * available_bytes(model.device) / max(class_bytes, 1))
    return max(min(wanted, n_classes), 1)
