"""Weights of a Swin encoder from elsewhere, put into a Swin UNETR."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from monai.networks.nets.swin_unetr import SwinUNETR
from safetensors.torch import load_file

from agg2exp_core.errors import ModelError


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
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        state: Mapping[str, torch.Tensor] = content.get("state_dict", content)
        return {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    except Exception as error:  # the readers raise whatever the bytes provoke
        raise _wrong(
            path,
            f"weights that cannot be read ({(str(error) or type(error).__name__).splitlines()[0]})",
            "safetensors, or tensors saved by torch.save",
        ) from error


def _wrong(path: Path, got: str, allowed: str) -> ModelError:
    return ModelError(
        path, got=got, allowed=allowed, remedy="name another file: network.pretrained, or --pretrained"
    )
