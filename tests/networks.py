"""Small networks for tests, with random but fixed weights."""

import torch
from torch import nn

from agg2exp_core.models import wrap_network
from agg2exp_core.types import SegmentationModel

CLASS_NAMES = ("background", "left", "right", "middle")


def smooth_network(n_channels: int = 1, n_classes: int = len(CLASS_NAMES), *, seed: int = 7) -> nn.Module:
    """A convolutional network with smooth activations whose classes all win somewhere."""
    generator = torch.Generator().manual_seed(seed)
    network = nn.Sequential(
        nn.Conv3d(n_channels, 5, 3, padding=1),
        nn.Tanh(),
        nn.GroupNorm(1, 5),
        nn.Conv3d(5, n_classes, 3, padding=1),
    )
    for parameter in network.parameters():
        with torch.no_grad():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    return network


def smooth_model(
    dtype: torch.dtype = torch.float64, n_channels: int = 1, **settings: object
) -> SegmentationModel:
    network = smooth_network(n_channels).to(dtype)
    return wrap_network(
        network, CLASS_NAMES, **{"window_shape": (8, 8, 8), "n_channels": n_channels} | settings
    )


def random_image(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 3) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)
