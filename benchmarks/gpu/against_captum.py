"""All classes against Captum's Saliency and KernelShap, class by class."""

from __future__ import annotations

from functools import partial

import torch
from captum.attr import KernelShap, Saliency
from monai.inferers import sliding_window_inference

from agg2exp_core.attribution.players import cubes, side_for
from benchmarks.attribution.case import Case
from benchmarks.gpu.cases import Bench, cropped
from benchmarks.gpu.passes import explain
from benchmarks.timing import Row, once

N_SAMPLES = 1000
N_TIMED = 6
"""Of Captum's samples, which cost all the same."""
N_CUBES = 27


def output(case: Case, c: int, images: torch.Tensor) -> torch.Tensor:
    """Return the summed logits over a class's voxels ``[B]``, as a user of Captum writes it."""
    windows = case.model.windows
    logits = sliding_window_inference(images, windows.shape, 1, case.model.network, windows.overlap)
    assert isinstance(logits, torch.Tensor)
    return (logits[:, c] * case.mask(c).to(logits.device)).flatten(1).sum(1)


def rows(bench: Bench, name: str, limit_s: float) -> list[Row]:
    """Return how many times faster ours are on the middle of a scan, Captum's as a user gets it."""
    case = cropped(bench.case(name), int(bench.case(name).model.windows.shape[0] * 1.75))
    c, n_classes = case.present[-1], len(case.present)

    def saliency() -> None:
        inputs = case.image[None].clone().requires_grad_()
        Saliency(partial(output, case, c)).attribute(inputs, abs=False)

    shape = tuple(case.image.shape[1:])
    mask = cubes(shape, side_for(shape, N_CUBES), case.image.device).long()[None, None]

    def kernel_shap(n: int) -> None:
        KernelShap(partial(output, case, c)).attribute(case.image[None], feature_mask=mask, n_samples=n)

    saliency()
    kernel_shap(2)
    gradient = bench.seconds(saliency) * n_classes
    few, more = bench.seconds(partial(kernel_shap, 2)), bench.seconds(partial(kernel_shap, 2 + N_TIMED))
    shap = (more - few) / N_TIMED * N_SAMPLES * n_classes
    ours = bench.seconds(partial(explain, case, "vanilla_gradient"))
    exact = bench.seconds(partial(explain, case, "shapley_cubes", n_cubes=N_CUBES))
    what = (
        f"{name}: all {n_classes} classes of {' x '.join(map(str, shape))} voxels, times faster than Captum's"
    )
    return [
        once(f"{what} Saliency", gradient / ours, at_least=10),
        once(f"{what} KernelShap of {N_SAMPLES:,} samples", shap / exact, at_least=1000),
    ]
