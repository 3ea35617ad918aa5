"""How far streamed attributions are from autograd through the whole stitched volume.

Prints, for each method and type, the largest error as a share of the peak over blendings, overlaps
and scan shapes (small scans that are padded included).
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from agg2exp_core.attribution import attribute
from agg2exp_core.attribution.gradient import QUADRATURES
from tests.networks import CLASS_NAMES, random_image, smooth_model
from tests.reference import attributions as twin

SHAPES = [(8, 8, 8), (13, 9, 17), (5, 12, 8), (3, 4, 5)]


def _expected(method: str, model: object, image: torch.Tensor, c: int) -> torch.Tensor:
    if method == "vanilla_gradient":
        return twin.vanilla_gradient(model, image, c)
    if method == "smoothgrad":
        return twin.smoothgrad(model, image, c, 3, 0.1, 0)
    return twin.integrated_gradients(model, image, c, *QUADRATURES["right"](4))


def largest_error(method: str, params: dict[str, int], dtype: torch.dtype) -> float:
    """Return the largest error of a method as a share of the peak."""
    worst = 0.0
    for blend, overlap, shape in itertools.product(("constant", "gaussian"), (0, 0.25, 0.5), SHAPES):
        model = smooth_model(dtype, overlap=overlap, blend=blend)
        image = random_image(1, *shape, dtype=dtype)
        for item in attribute(model, image, method, **params):
            expected = _expected(method, model, image, CLASS_NAMES.index(item.class_name))[0].numpy()
            worst = max(worst, float(np.abs(item.values - expected).max() / np.abs(expected).max()))
    return worst


def main() -> None:
    """Print the table."""
    table = Table(title="largest error over the peak, against autograd through the stitched volume")
    for heading in ("method", "float32", "float64"):
        table.add_column(heading)
    methods: list[tuple[str, dict[str, int]]] = [
        ("vanilla_gradient", {}),
        ("smoothgrad", {"n_samples": 3}),
        ("integrated_gradients", {"n_steps": 4}),
    ]
    for method, params in methods:
        errors = (largest_error(method, params, dtype) for dtype in (torch.float32, torch.float64))
        table.add_row(method, *(f"{error:.1e}" for error in errors))
    Console().print(table)


if __name__ == "__main__":
    main()
