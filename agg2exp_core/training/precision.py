"""Mixed precision on a CPU, without the convolutions that go wrong there."""

from __future__ import annotations

import torch


def keep_small_convolutions(network: torch.nn.Module) -> None:
    """Let 3D convolutions compute in float32 where an image is smaller than their kernel.

    In bfloat16 on a CPU the gradient of such a convolution's weights holds memory that was never
    written (torch 2.13: 192 channels of 2x2x2 voxels, kernel 3); one step with it spoils the network.
    """
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv3d):
            layer.forward = _Careful(layer)  # type: ignore[method-assign, assignment]


class _Careful:
    """The forward pass of a convolution, its precision chosen by its input."""

    def __init__(self, layer: torch.nn.Conv3d) -> None:
        self._layer = layer

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        layer = self._layer
        small = any(n < k for n, k in zip(images.shape[2:], layer.kernel_size, strict=True))
        if not (small and images.device.type == "cpu"):
            return torch.nn.Conv3d.forward(layer, images)
        with torch.autocast("cpu", enabled=False):
            return torch.nn.Conv3d.forward(layer, images.float())
