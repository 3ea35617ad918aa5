"""Gradient methods against their bare network passes, and against Captum's Saliency class by class."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from captum.attr import Saliency

from agg2exp_core import attribute
from benchmarks.attribution.case import Case
from benchmarks.timing import Row, alternate, once, ratio

FLOOR_SAMPLES = 5
"""Of the floor that a method of 20 samples is compared with, timed just before it."""


class Floor:
    """One forward pass a window, one backward pass for each class in it, and nothing else.

    No noise, no masks, no blending, no sums: what is handed back is thrown away.
    """

    def __init__(self, case: Case) -> None:
        self.network = case.model.network
        L = case.model.n_classes
        self.inputs = [case.image[None, :, *w].clone().requires_grad_() for w in case.tiling.windows]
        self.upstream = torch.zeros((L, 1, L, *case.model.windows.shape))
        self.upstream[range(L), 0, range(L)] = 1
        self.classes_in_windows = case.classes_in_windows

    def __call__(self, n_samples: int = 1) -> None:
        """Pass all windows, `n_samples` times."""
        for _ in range(n_samples):
            for window, classes in zip(self.inputs, self.classes_in_windows, strict=True):
                logits = self.network(window)  # [1, L, *window]
                for c in classes:
                    torch.autograd.grad(logits, window, self.upstream[c], retain_graph=c != classes[-1])


def explain(case: Case, method: str, **params: object) -> dict[str, np.ndarray]:
    """Return the attributions ``[X, Y, Z]`` of all classes by name."""
    items = attribute(case.model, case.image, method, prediction=case.prediction, **params)
    return {item.class_name: item.values for item in items}


def captum_saliency(case: Case) -> dict[str, np.ndarray]:
    """Return the same gradients class by class, through MONAI's sliding window."""
    explained = {}
    for c in case.present:
        inputs = case.image[None].clone().requires_grad_()
        gradient = Saliency(partial(case.class_output, c)).attribute(inputs, abs=False)
        explained[case.model.class_names[c]] = gradient[0, 0].numpy()
    return explained


def largest_difference(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> float:
    """Return the largest difference as a share of the peak, over classes."""
    assert ours.keys() == theirs.keys()
    return max(float(np.abs(ours[name] - e).max() / np.abs(e).max()) for name, e in theirs.items())


def vanilla_rows(case: Case, n_repeats: int, n_captum: int) -> list[Row]:
    """Return the rows of the vanilla gradient of all classes; Captum's takes long, and fewer repeats."""
    vanilla, floor = partial(explain, case, "vanilla_gradient"), Floor(case)
    explained = vanilla()
    floor()
    bare = alternate({"floor": floor, "ours": vanilla}, n_repeats)
    differences: list[float] = []

    def captum() -> None:
        differences.append(largest_difference(explained, captum_saliency(case)))

    seconds = alternate({"captum": captum, "ours": vanilla}, n_captum)
    return [
        Row("VG of all classes, over its bare passes", ratio(bare["ours"], bare["floor"]), 1.10),
        Row(
            "VG, times faster than Captum's Saliency per class",
            ratio(seconds["captum"], seconds["ours"]),
            at_least=3.5,
        ),
        once("the same, largest difference over the peak", max(differences), at_most=1e-5),
    ]


def sampled_rows(case: Case, n_repeats: int, n_samples: int = 20) -> list[Row]:
    """Return the rows of SmoothGrad and integrated gradients."""
    n_floor = min(FLOOR_SAMPLES, n_samples)
    floor = Floor(case)
    floor()
    works = {
        "floor before": partial(floor, n_floor),
        "SG": partial(explain, case, "smoothgrad", n_samples=n_samples),
        "floor": partial(floor, n_floor),
        "IG": partial(explain, case, "integrated_gradients", n_steps=n_samples),
    }
    seconds = alternate(works, n_repeats)
    return [
        Row(
            f"{method} of {n_samples} samples, over its bare passes",
            ratio(seconds[method], seconds[before], n_samples / n_floor),
            1.10,
        )
        for method, before in (("SG", "floor before"), ("IG", "floor"))
    ]
