"""What faster ways to run a network gain here, and what they change: ``python -m benchmarks.precision``.

Mixed precision, memory formats and compilation against the network as it is: forward and backward
of one window of the packaged model, and for mixed precision the errors of its attributions.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from agg2exp_core import attribute, load_model, local_importance, predict
from agg2exp_core.models import with_precision
from agg2exp_core.types import SegmentationModel
from benchmarks.attribution.case import make_case
from benchmarks.timing import Row, alternate, once, print_table, ratio

N_REPEATS = 7
MIXED = ("bfloat16", "float16")


def passes(network: Callable[[torch.Tensor], torch.Tensor], window: torch.Tensor) -> None:
    """Pass a window forward and backward."""
    inputs = window.clone(memory_format=torch.preserve_format).requires_grad_()
    logits = network(inputs)
    torch.autograd.grad(logits, inputs, torch.ones_like(logits))


def speed_rows(model: SegmentationModel) -> list[Row]:
    """Return the rows of time."""
    window = torch.rand(1, model.n_channels, *model.windows.shape)
    last = load_model("thorax_phantom", "cpu").network.to(memory_format=torch.channels_last_3d)
    works: dict[str, Callable[[], object]] = {
        "as it is": partial(passes, model.network, window),
        "channels_last_3d": partial(passes, last, window.to(memory_format=torch.channels_last_3d)),
        "torch.compile": partial(passes, torch.compile(model.network), window),
    }
    for precision in MIXED:
        works[precision] = partial(passes, with_precision(model, precision).network, window)
    for work in works.values():
        work()
    seconds = alternate(works, N_REPEATS)
    return [
        Row(
            f"one window forward and backward, {name}, over as it is",
            ratio(seconds[name], seconds["as it is"]),
        )
        for name in list(works)[1:]
    ]


def error_rows(model: SegmentationModel, precision: str) -> list[Row]:
    """Return the rows of what a precision changes in the vanilla gradient of all classes of a phantom."""
    image = make_case(spacing_mm=4.0, window_side=32).image
    prediction = predict(model, image)
    explain = partial(attribute, scan=image, method="vanilla_gradient", prediction=prediction)
    exact, rough = list(explain(model)), list(explain(with_precision(model, precision)))
    errors = [
        float(np.linalg.norm(b.values - a.values) / np.linalg.norm(a.values))
        for a, b in zip(exact, rough, strict=True)
    ]
    matrices = [local_importance(items, prediction)["mass"].values for items in (exact, rough)]
    return [
        once(f"VG in {precision}, relative error of the worst class", max(errors)),
        once(
            f"VG in {precision}, largest change of an entry of the matrix",
            np.nanmax(abs(np.subtract(*matrices))),
        ),
    ]


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    model = load_model("thorax_phantom", "cpu")
    rows = speed_rows(model)
    for precision in MIXED:
        rows += error_rows(model, precision)
    print_table("Mixed precision, memory format, compilation", rows)


if __name__ == "__main__":
    main()
