"""Gradient methods over their bare network passes, and the seconds of a scan."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch

from agg2exp_core import attribute
from agg2exp_core.attribution import make_method
from agg2exp_core.attribution.method import Geometry
from agg2exp_core.execution import counted, fit_windows
from benchmarks.attribution.case import Case
from benchmarks.gpu.cases import Bench, cropped
from benchmarks.timing import Row, once

N_SAMPLES = 20
PAPER_SECONDS: Mapping[str, float] = {
    "vanilla_gradient": 204,
    "smoothgrad": 3553,
    "integrated_gradients": 3570,
    "kernelshap_cubes": 72726,
    "kernelshap_semantic": 14569,
}
"""The paper's, on an A100: of one class, times 17. Its windows, scans and network passes are its own."""
OURS = {"kernelshap_cubes": "shapley_cubes", "kernelshap_semantic": "shapley_semantic"}
"""Of the methods over players, ours for the same question."""


@torch.enable_grad()
def floor(case: Case) -> None:
    """Pass each window forward, and backward for each of its classes, alone."""
    model = case.model
    upstream = torch.zeros((1, model.n_classes, *model.windows.shape), device=model.device)
    with model.arithmetic():
        for window, classes in zip(case.tiling.windows, case.classes_in_windows, strict=True):
            inputs = case.image[None, :, *window].clone().requires_grad_()
            logits = model.logits(inputs)
            for c in classes:
                upstream[:, c] = 1
                torch.autograd.grad(logits, inputs, upstream, retain_graph=c != classes[-1])
                upstream[:, c] = 0


def explain(case: Case, method: str, **params: object) -> None:
    """Explain all classes."""
    for _ in attribute(case.model, case.image, method, prediction=case.prediction, **params):
        pass


def rows(bench: Bench, name: str, limit_s: float) -> list[Row]:
    """Return the rows of a network; samples are as many as fit the time."""
    case = bench.case(name)
    explain(cropped(case, case.model.windows.shape[0]), "vanilla_gradient")  # to warm up
    floor(cropped(case, case.model.windows.shape[0]))
    part, n_windows = case, len(case.tiling.windows)
    of_window = bench.seconds(partial(floor, cropped(case, case.model.windows.shape[0])))
    if of_window * n_windows > limit_s / 8:
        part = cropped(case, int(case.model.windows.shape[0] * 1.75))
    share = sum(map(len, part.classes_in_windows)) / sum(map(len, case.classes_in_windows))
    bare = bench.seconds(partial(floor, part))
    n = int(min(max(limit_s / 6 // bare, 2), N_SAMPLES))
    works = {
        "vanilla_gradient": partial(explain, part, "vanilla_gradient"),
        "smoothgrad": partial(explain, part, "smoothgrad", n_samples=n),
        "integrated_gradients": partial(explain, part, "integrated_gradients", n_steps=n),
    }
    batch = fit_windows(case.model, None)
    found = [
        once(f"{name}: windows in a pass, chosen", batch),
        once(f"{name}: bare passes, seconds of a scan and all its classes", bare / share),
    ]
    for method, work in works.items():
        n_points = 1 if method == "vanilla_gradient" else n
        seconds = bench.seconds(work)
        found += [
            Row(
                f"{name}: {method}, {n_points} points, over bare passes",
                once("", seconds / bare / n_points).figure,
                1.05,
            ),
            once(
                f"{name}: {method}, seconds of a scan (paper, A100: {PAPER_SECONDS[method]:,.0f})",
                seconds / share * (1 if n_points == 1 else N_SAMPLES / n_points),
            ),
        ]
    for batch in (1, 2, 4, 8):
        try:
            seconds = bench.seconds(partial(explain, part, "vanilla_gradient", window_batch=batch))
        except RuntimeError as error:
            print(f"{name}, {batch} windows in a pass: {error}")
            break
        found.append(
            once(f"{name}: vanilla_gradient, {batch} windows in a pass, over bare passes", seconds / bare)
        )
    return found


def player_rows(bench: Bench, name: str, limit_s: float) -> list[Row]:
    """Return the seconds of the methods over players: of a part, times its share of all passes."""
    case = bench.case(name)
    part = cropped(case, int(case.model.windows.shape[0] * 1.5))
    found = []
    for theirs, method in OURS.items():
        params = {"n_cubes": 27} if method == "shapley_cubes" and not bench.small else {}
        params |= {"max_exact_players": 6, "n_samples": 64} if bench.small else {}
        with counted(case.model) as (_, tally):
            seconds = bench.seconds(partial(explain, part, method, **params))
        geometry = Geometry(case.tiling, 1, case.model.n_classes, case.model.n_classes)
        passes = make_method(method, params).passes(geometry)
        assert passes is not None
        whole = seconds / tally.forward * passes.forward
        what = f"{name}: {method}, seconds of a scan, at most (paper, A100: {PAPER_SECONDS[theirs]:,.0f})"
        found.append(once(what, whole))
    return found
