"""The network of a configuration, as a training begins with it; weights of a Swin encoder from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from monai.networks.nets.swin_unetr import SwinUNETR

from agg2exp_core.errors import ModelError
from agg2exp_core.models.weights import read_tensors
from agg2exp_core.training.config import NetworkConfig


def build_network(config: NetworkConfig, seed: int) -> torch.nn.Module:
    """Return the MONAI network of a configuration.

    Its weights are drawn from `seed`, but for those that the configuration takes from a file.

    Raises
    ------
    UsageError
        If MONAI has no such network, or it refuses the arguments.
    ModelError
        If the pretrained weights do not fit.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = config.network.build()
    if config.network.pretrained is not None:
        load_encoder(network, config.network.pretrained)
    return network


def load_encoder(network: torch.nn.Module, path: Path) -> int:
    """Load a Swin UNETR's encoder.

    Parameters
    ----------
    network : torch.nn.Module
        A `SwinUNETR`; changed in place.
    path : Path
        ``.safetensors``, or tensors saved by ``torch.save`` as the published ``model_swinvit.pt``: its
        names are ``module.layers1.0.blocks.0.attn.qkv.weight`` and the like, with ``mlp.fc1`` for MONAI's
        ``mlp.linear1``, and no ``swinViT`` in front. Heads of the pre-training tasks are passed over.

    Returns
    -------
    int
        Tensors loaded: all of the encoder but, in version 2, convolutions that the file does not have.

    Raises
    ------
    ModelError
        If the file cannot be read safely, or its tensors are not this encoder's.
    """
    if not isinstance(network, SwinUNETR):
        raise _wrong(path, f"weights for a {type(network).__name__}", "a SwinUNETR to put them in")
    found = {_monai_name(name): value for name, value in _read(path).items()}
    encoder = network.swinViT
    wanted = {
        name: value
        for name, value in encoder.state_dict().items()
        if name in found or not name.startswith(("layers1c", "layers2c", "layers3c", "layers4c"))
    }
    missing = sorted(set(wanted) - set(found))
    if missing:
        raise _wrong(
            path, f"no {missing[0]} (and {len(missing) - 1} others)", "the tensors of a Swin encoder"
        )
    for name, value in wanted.items():
        if found[name].shape != value.shape:
            got = f"{name} of shape {list(found[name].shape)}"
            raise _wrong(path, got, f"{list(value.shape)}, by the network's arguments")
    encoder.load_state_dict({name: found[name] for name in wanted}, strict=False)
    return len(wanted)


def _monai_name(name: str) -> str:
    for prefix in ("module.", "swinViT.", "swin_vit."):
        name = name.removeprefix(prefix)
    return name.replace("mlp.fc1.", "mlp.linear1.").replace("mlp.fc2.", "mlp.linear2.")


def _read(path: Path) -> Mapping[str, torch.Tensor]:
    try:
        content: Any = read_tensors(path)
    except ModelError as error:
        raise _wrong(path, error.got, error.allowed) from error
    state = content.get("state_dict", content) if isinstance(content, Mapping) else {}
    return {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}


def _wrong(path: Path, got: str, allowed: str) -> ModelError:
    return ModelError(
        path, got=got, allowed=allowed, remedy="name another file: network.pretrained, or --pretrained"
    )


def keep_small_convolutions(network: torch.nn.Module) -> None:
    """Let 3D convolutions compute in float32 on a CPU where an image is smaller than their kernel.

    In bfloat16 on a CPU the gradient of such a convolution's weights holds memory that was never
    written (torch 2.13: 192 channels of 2x2x2 voxels, kernel 3); one step with it spoils the network.
    """
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv3d):
            layer.forward = partial(_convolve, layer)  # type: ignore[method-assign]


def _convolve(layer: torch.nn.Conv3d, images: torch.Tensor) -> torch.Tensor:
    small = any(n < k for n, k in zip(images.shape[2:], layer.kernel_size, strict=True))
    if not (small and images.device.type == "cpu"):
        return torch.nn.Conv3d.forward(layer, images)
    with torch.autocast("cpu", enabled=False):
        return torch.nn.Conv3d.forward(layer, images.float())
