"""Peak memory of the card: against the plan, and for a scan three times as long."""

from __future__ import annotations

import torch

from agg2exp_core.attribution import Execution, attribute_planes, estimate, make_method
from agg2exp_core.execution import measure_window
from benchmarks.attribution.case import Case
from benchmarks.gpu.cases import Bench
from benchmarks.timing import Row, once


def rows(bench: Bench, name: str, limit_s: float) -> list[Row]:
    """Return the ratios, with one window in a pass; on a CPU, where no allocator tells, the plan alone."""
    case = bench.case(name)
    model, side = case.model, case.model.windows.shape[0]
    method = make_method("smoothgrad", {"n_samples": 1})
    cost = measure_window(model)
    shape = (side, 2 * side, 2 * side)
    execution = Execution(window_batch=1)
    planned = estimate(model, method, shape, model.n_classes, execution, cost).peak_bytes
    found = [once(f"{name}: planned peak, GB", planned / 1e9)]
    if bench.device != "cuda":
        return found
    short, long = (peak(case, n) for n in (side, 3 * side))
    return [
        *found,
        once(f"{name}: measured peak, GB", short / 1e9),
        Row(f"{name}: planned over measured peak", once("", planned / short).figure, 1.25, 0.75),
        once(f"{name}: peak of a scan three times as long, times", long / short, at_most=1.1),
    ]


def peak(case: Case, n_planes: int) -> int:
    """Return the bytes that a class in each voxel's stripe takes, on top of what is loaded."""
    side = case.model.windows.shape[0]
    image = torch.rand(1, n_planes, 2 * side, 2 * side)
    clean = case.prediction
    labels = clean.labels.reshape(-1)[: image.numel()]
    labels = labels.repeat(-(-image.numel() // len(labels)))[: image.numel()].reshape(image.shape[1:])
    flat = clean.own_logit.reshape(-1)[:1]
    scan = type(clean)(labels, clean.class_names, flat, flat)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    pieces = attribute_planes(case.model, image, "smoothgrad", prediction=scan, n_samples=1, window_batch=1)
    for _ in pieces:
        pass
    return torch.cuda.max_memory_allocated() - before
