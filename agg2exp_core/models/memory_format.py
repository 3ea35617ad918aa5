"""The order of a network's numbers in memory: the one in which it was measured to run faster."""

from __future__ import annotations

from dataclasses import replace

import torch

from agg2exp_core.types import SegmentationModel

_OTHER_LAYERS = (torch.nn.Linear, torch.nn.LayerNorm, torch.nn.MultiheadAttention, torch.jit.ScriptModule)


def with_fast_layout(model: SegmentationModel) -> SegmentationModel:
    """Return a model whose network has channels last, where that was measured to be faster.

    Networks of convolutions on a CPU are; transformers are slower, and GPUs were not measured. The
    numbers are the same but for rounding, and so are weights and fingerprint.
    """
    if model.device.type != "cpu" or not _is_convolutional(model.network):
        return model
    return replace(model, network=model.network.to(memory_format=torch.channels_last_3d))  # type: ignore[call-overload]


def _is_convolutional(network: torch.nn.Module) -> bool:
    layers = list(network.modules())
    return any(isinstance(layer, torch.nn.Conv3d) for layer in layers) and not any(
        isinstance(layer, _OTHER_LAYERS) for layer in layers
    )
