"""What an explanation will cost, before it runs: passes, memory, seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from agg2exp_core.attribution.method import Geometry, Method, Passes
from agg2exp_core.attribution.stream import class_bytes, classes_together
from agg2exp_core.execution import Execution, WindowCost, fit_windows, require_bytes
from agg2exp_core.prediction import prediction_bytes
from agg2exp_core.types import SegmentationModel, Shape3
from agg2exp_core.windows import Tiling

_WORKING_BYTES = 64
"""Of a method for each voxel and channel: a perturbed scan and its noise, a path and its ends."""
_CLEAN_BYTES = 16
"""Of the prediction for each voxel: labels, own logits and probabilities, on host and device."""


@dataclass(frozen=True)
class Estimate:
    """The cost of explaining one scan.

    Parameters
    ----------
    n_windows : int
        Windows over the scan, each of which its segmentation passes once.
    passes : Passes or None
        Window passes of the method, at most; None where it does not say.
    class_batch : int
        Classes held at once.
    peak_bytes : int
        Memory on top of what is loaded.
    seconds : float or None
        On this device, from the cost of a window, at most; with the segmentation unless that is there.
    """

    n_windows: int
    passes: Passes | None
    class_batch: int
    peak_bytes: int
    seconds: float | None


def estimate(
    model: SegmentationModel,
    method: Method,
    scan_shape: Shape3,
    n_explained: int,
    execution: Execution,
    cost: WindowCost,
    *,
    classes_per_call: int | None = None,
    segmented: bool = False,
) -> Estimate:
    """Predict what explaining a scan costs, with attributions that leave in planes where they can.

    Parameters
    ----------
    model : SegmentationModel
        The model.
    method : Method
        The method.
    scan_shape : tuple of int
        Voxels of the preprocessed scan ``(X, Y, Z)``.
    n_explained : int
        Classes that are asked for; those that the scan does not hold will cost nothing.
    execution : Execution
        How the work is cut.
    cost : WindowCost
        What `measure_window` found.
    classes_per_call : int, optional
        Classes that are asked for at a time, where calls share them out; by default all in one.
    segmented : bool
        Whether the segmentation is there.

    Raises
    ------
    ModelError
        If it does not fit in the memory that is free on the model's device.
    """
    geometry = Geometry(Tiling(model.windows, scan_shape), model.n_channels, model.n_classes, n_explained)
    shape = geometry.tiling.padded_shape
    n_voxels, itemsize = math.prod(shape), model.dtype.itemsize
    of_class = class_bytes(model, method, geometry.tiling, whole=False)
    of_call = min(classes_per_call or n_explained, n_explained)
    together = classes_together(model, method, geometry.tiling, execution, of_call, whole=False)
    class_batch = 1 if method.joint else together
    window_batch = fit_windows(model, execution.window_batch)
    clean_bytes = n_voxels * (model.n_channels * itemsize + _CLEAN_BYTES)  # the image, its masks
    held_bytes = (class_batch + 4) * of_class  # attributions, some on their way out
    working_bytes = of_class // itemsize * _WORKING_BYTES
    volumes = max(prediction_bytes(model, geometry.tiling), clean_bytes + held_bytes + working_bytes)
    peak_bytes = volumes + window_batch * cost.n_bytes
    require_bytes(
        model,
        n_bytes=peak_bytes,
        purpose=f"a scan of {' x '.join(map(str, shape))} voxels with {class_batch} of {model.n_classes} "
        f"classes held and {window_batch} windows in a pass",
    )
    passes = _passes(method, geometry, of_call, together)
    segmentation = Passes(0 if segmented else geometry.n_windows)
    seconds = None if passes is None else _seconds(passes.plus(segmentation), cost)
    return Estimate(geometry.n_windows, passes, class_batch, peak_bytes, seconds)


def _seconds(passes: Passes, cost: WindowCost) -> float:
    return passes.forward * cost.forward_seconds + passes.backward * cost.backward_seconds


def _passes(method: Method, geometry: Geometry, of_call: int, together: int) -> Passes | None:
    """Return the passes of all groups of classes of all calls."""
    total = Passes(0)
    for call in _shares(geometry.n_explained, of_call):
        total = total.plus(method.clean_passes(geometry))
        for n_explained in _shares(call, together):
            passes = method.passes(replace(geometry, n_explained=n_explained))
            if passes is None:
                return None
            total = total.plus(passes)
    return total


def _shares(n: int, most: int) -> list[int]:
    """Return the sizes of the groups of `most` that n make up, the last one what remains."""
    return [min(most, n - start) for start in range(0, n, most)]
