"""A model whose network computes in fewer bits: faster on some devices, and other numbers."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import torch

from agg2exp_core.errors import UsageError, unknown_name
from agg2exp_core.types import SegmentationModel

PRECISIONS = ("float32", "tf32", "bfloat16", "float16")
"""The network's own numbers, and those that its convolutions and products may compute in."""


class _Autocast(torch.nn.Module):
    """A network under autocast, with logits in the type of its input."""

    def __init__(self, network: torch.nn.Module, device_type: str, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = network
        self.device_type = device_type
        self.dtype = dtype

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Return the logits; their backward pass computes in the types of the forward pass."""
        with torch.autocast(self.device_type, self.dtype):
            logits: torch.Tensor = self.network(windows)
        return logits.to(windows.dtype)


def with_precision(model: SegmentationModel, precision: str) -> SegmentationModel:
    """Return a model whose network computes in mixed precision.

    Its numbers differ, so its fingerprint does: no result of one precision passes for one of
    another. Weights, blending and sums over windows keep the model's own type.

    Parameters
    ----------
    model : SegmentationModel
        A model with weights in float32.
    precision : {"float32", "tf32", "bfloat16", "float16"}
        What convolutions and matrix products are computed in; ``float32`` gives the model itself.
        ``tf32`` rounds their factors to 10 bits, on a GPU alone. The others are autocast's; ``float16``
        loses gradients below 6e-8: those of a mean over a large class may be.

    Returns
    -------
    SegmentationModel
        The model, which shares its weights.

    Raises
    ------
    UsageError
        If there is no such precision on the model's device, or the weights are not in float32.
    """
    if precision not in PRECISIONS:
        raise unknown_name("precision", precision, PRECISIONS)
    if precision == "float32":
        return model
    if model.dtype != torch.float32:
        raise UsageError(
            "precision",
            got=f"{precision!r} for {model.name}, whose weights are {model.dtype}",
            allowed="a model with weights in float32",
            remedy="leave precision at float32: the network then computes in its own type",
        )
    named = replace(
        model,
        name=f"{model.name} in {precision}",
        fingerprint=hashlib.sha256(f"{model.fingerprint} {precision}".encode()).hexdigest(),
        origin={**model.origin, "precision": precision},
    )
    if precision != "tf32":
        autocast = _Autocast(model.network, model.device.type, getattr(torch, precision))
        return replace(named, network=autocast.eval())
    if model.device.type != "cuda":
        raise UsageError(
            "precision",
            got=f"'tf32' on {model.device}",
            allowed="it on a GPU; float32, bfloat16 or float16 here",
            remedy="name a CUDA device, or another precision",
        )
    return replace(named, tf32=True)
