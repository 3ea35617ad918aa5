"""A network in memory becomes a model, with an identity that follows from its weights."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from agg2exp_core.errors import UsageError
from agg2exp_core.models.heads import ACTIVATIONS, InItsOwnType, with_head
from agg2exp_core.types import Preprocessing, SegmentationModel, WindowSettings
from agg2exp_core.volumes import CTPreprocessing

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
"""How Python writes where something lies in memory: in each process elsewhere."""


def choose_device(device: str | torch.device = "auto") -> torch.device:
    """Return a device by name; ``auto`` is the GPU where there is one.

    Raises
    ------
    UsageError
        If there is no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            "device",
            got=f"{device!r}",
            allowed="auto, cpu, or a CUDA device of this machine such as cuda:0",
            remedy="run `agg2exp doctor` to see the devices",
        ) from error
    return chosen


def fingerprint(network: torch.nn.Module, settings: Mapping[str, Any]) -> str:
    """Return the hex digest of a network's weights, its structure and its settings."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        array = value.detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {list(array.shape)}\n".encode())
        digest.update(array.flatten().view(torch.uint8).numpy().tobytes())
    code = getattr(network, "code", None)  # TorchScript: its own source
    structure = code if isinstance(code, str) else _ADDRESS.sub("", str(network))
    digest.update(structure.encode())
    digest.update(json.dumps(settings, sort_keys=True).encode())
    return digest.hexdigest()


def wrap_network(
    network: torch.nn.Module,
    class_names: Sequence[str],
    window_shape: Sequence[int] = (96, 96, 96),
    overlap: float = 0.25,
    blend: str = "constant",
    *,
    sigma_scale: float = 0.125,
    grid: str = "monai",
    activation: str = "softmax",
    output: str | int | None = None,
    n_channels: int = 1,
    preprocessing: Preprocessing | None = None,
    device: str | torch.device = "cpu",
    name: str = "network",
) -> SegmentationModel:
    """Make a model of a network; it is put in evaluation mode and on the device.

    Parameters
    ----------
    network : torch.nn.Module
        Logits ``[B, L, *window]`` from ``[B, C, *window]``.
    class_names : sequence of str
        The L classes in the order of the logits, background first.
    window_shape : sequence of int
        Voxels of a window along each axis.
    overlap : float
        Share of a window that its neighbour covers too, in [0, 1).
    blend : {"constant", "gaussian"}
        Importance of a window's voxels where windows overlap.
    sigma_scale : float
        Standard deviation of the Gaussian as a share of the window.
    grid : {"monai", "nnunet"}
        Whose tiles.
    activation : {"softmax", "sigmoid", "regions"}
        What the network was trained with. With ``sigmoid`` each channel is a class and the background has
        none (a network of one channel has two classes); with ``regions`` a later class may lie inside an
        earlier one, and a voxel is of the last one whose logit is positive.
    output : str or int, optional
        Which item of a tuple, list or mapping that the network returns; by default the first.
    n_channels : int
        C.
    preprocessing : Preprocessing, optional
        From a volume to the network's input; the paper's for CT by default.
    device : str or torch.device
        ``auto``, ``cpu``, ``cuda:0``, …
    name : str
        For people.

    Returns
    -------
    SegmentationModel
        The model.

    Raises
    ------
    UsageError
        If a setting is out of range.
    """
    if len(set(class_names)) != len(class_names) or len(class_names) < 2:
        raise UsageError(
            "class_names",
            got=f"{list(class_names)}",
            allowed="two or more different names",
            remedy="name every channel of the logits, background first",
        )
    sliding: dict[str, Any] = {
        "shape": tuple(int(n) for n in window_shape),
        "overlap": float(overlap),
        "blend": blend,
        "sigma_scale": float(sigma_scale),
        "grid": grid,
    }
    windows = WindowSettings(**sliding)
    preprocessing = preprocessing or CTPreprocessing()
    target = choose_device(device)
    network = with_head(network, activation, output).to(target).eval()
    settings = {
        "class_names": list(class_names),
        "n_channels": n_channels,
        # MONAI's grid goes without saying: it was the only one once
        "windows": {key: value for key, value in windows if (key, value) != ("grid", "monai")},
        "preprocessing": dict(preprocessing.describe()),
    }
    if activation == "regions":
        settings["activation"] = activation
    floating = [p.dtype for p in network.parameters() if p.is_floating_point()]
    dtype = floating[0] if floating else torch.float32
    identity = fingerprint(network, settings)
    if dtype == torch.bfloat16:  # NumPy and Zarr have no such type
        network, dtype = InItsOwnType(network, dtype).eval(), torch.float32
    return SegmentationModel(
        network=network,
        class_names=tuple(class_names),
        n_channels=n_channels,
        windows=windows,
        preprocessing=preprocessing,
        device=target,
        dtype=dtype,
        name=name,
        fingerprint=identity,
        decision=ACTIVATIONS[activation],
    )
