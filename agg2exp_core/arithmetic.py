"""The arithmetic of a GPU: float32 with all its bits or TF32, by kernels that give the same bits twice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.backends import cudnn, mkldnn
from torch.backends.cuda import matmul
from torch.utils import deterministic

_CUBLAS_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
"""Of a fixed size, or the sums of a product come in any order."""
_LEVELS = {"tf32": "high", "bf16": "medium"}
"""What the old way calls the precision of products."""
_CONVOLUTION: Any = cudnn.conv  # type: ignore[attr-defined]
_CPU_PRODUCTS: Any = mkldnn.matmul  # type: ignore[attr-defined]
_open: list[bool] = []
"""TF32 or not, of what is open: to switch takes as long as a small layer."""


@contextmanager
def arithmetic(device: torch.device, *, tf32: bool = False) -> Iterator[None]:
    """Choose, while it is open, how a GPU multiplies float32, and kernels that give equal bits twice.

    PyTorch by itself computes convolutions in TF32, which keeps 10 of the 23 bits of each factor, and
    takes whichever kernels are fast. An operation that has no such kernel is computed all the same, and
    PyTorch warns of it by name. Other devices than GPUs have nothing to choose. It may be nested.

    Parameters
    ----------
    device : torch.device
        Where the network is.
    tf32 : bool
        Whether factors may be rounded to TF32.
    """
    if device.type != "cuda" or (_open and _open[-1] == tf32):
        yield
        return
    os.environ.setdefault(_CUBLAS_WORKSPACE, ":4096:8")
    parts: tuple[Any, ...] = (_CONVOLUTION, cudnn.rnn, matmul, _CPU_PRODUCTS)
    precisions = [(part, part.fp32_precision) for part in parts]
    switches: list[tuple[Any, str]] = [
        (cudnn, "benchmark"),
        (cudnn, "deterministic"),
        (deterministic, "fill_uninitialized_memory"),
    ]
    switched = [(owner, name, getattr(owner, name)) for owner, name in switches]
    strict = torch.are_deterministic_algorithms_enabled()
    only_warns = torch.is_deterministic_algorithms_warn_only_enabled()
    _open.append(tf32)
    try:
        torch.use_deterministic_algorithms(True, warn_only=only_warns or not strict)
        for (owner, name), value in zip(switches, (False, True, False), strict=True):
            setattr(owner, name, value)
        _say_both_ways(tf32, "high" if tf32 else "highest")
        _CONVOLUTION.fp32_precision = matmul.fp32_precision = "tf32" if tf32 else "ieee"
        yield
    finally:
        _open.pop()
        torch.use_deterministic_algorithms(strict, warn_only=only_warns)
        for owner, name, value in switched:
            setattr(owner, name, value)
        (_, convolutions), *_, (_, products) = precisions
        _say_both_ways(convolutions == "tf32", _LEVELS.get(products, "highest"))
        for part, precision in precisions:
            part.fp32_precision = precision


def _say_both_ways(convolutions: bool, products: str) -> None:
    """Say it in the old way too: where that differs from the new one, PyTorch refuses to tell what holds."""
    cudnn.allow_tf32 = convolutions
    torch.set_float32_matmul_precision(products)
