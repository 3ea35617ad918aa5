"""Files of weights and programs, read without running code that they bring along."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from agg2exp_core.errors import ModelError

_NESTS = ("state_dict", "model", "network_weights", "model_state_dict")
"""Keys under which training code keeps a network's tensors."""
_PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and `torch.compile` put before the names of tensors."""


def load_weights(network: torch.nn.Module, path: Path) -> None:
    """Load a state dict into a network, never by unpickling code.

    Raises
    ------
    ModelError
        If the file cannot be read so, or its tensors are not the network's.
    """
    state = read_tensors(path)
    for key in _NESTS:
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    fit_weights(network, state, path)


def read_tensors(path: Path, allowed: list[Any] | None = None) -> Any:
    """Return what a ``.safetensors`` file, or a ``.pt`` of tensors and plain data, holds.

    Parameters
    ----------
    path : Path
        The file.
    allowed : list, optional
        Types and functions that a ``.pt`` may name beside those that torch allows.

    Raises
    ------
    ModelError
        If the file cannot be read, or names any other code.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals(allowed) if allowed else nullcontext():
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the readers raise whatever the bytes provoke
        raise ModelError(
            path,
            got=f"weights that cannot be read ({(str(error) or type(error).__name__).splitlines()[0]})",
            allowed="safetensors, or tensors saved by torch.save",
            remedy="save the network's state_dict() again",
        ) from error


def fit_weights(network: torch.nn.Module, state: Any, where: Path) -> None:
    """Put a state dict into a network, whichever wrapper its names tell of.

    Raises
    ------
    ModelError
        If its tensors are not the network's.
    """
    try:
        network.load_state_dict({_bare(name): value for name, value in state.items()})
    except (RuntimeError, AttributeError, TypeError) as error:
        raise ModelError(
            where,
            got=f"weights of another network ({' '.join(str(error).split())[:200]})",
            allowed=f"the tensors of {type(network).__name__} as it is described",
            remedy="correct the network's arguments, or name the right weights",
        ) from error


def _bare(name: str) -> str:
    while name.startswith(_PREFIXES):
        name = name.partition(".")[2]
    return name


def load_program(path: Path, device: torch.device) -> torch.nn.Module:
    """Load a TorchScript (``.ts``, ``.pt``) or exported (``.pt2``) program.

    Raises
    ------
    ModelError
        If the file holds no such program.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit is on its way out
            if path.suffix == ".pt2":
                program: torch.nn.Module = _Exported(torch.export.load(path).module())
            else:
                program = torch.jit.load(path, map_location=device)
    except Exception as error:  # the readers raise whatever the bytes provoke
        raise ModelError(
            path,
            got=f"no program that can be read ({str(error).strip().splitlines()[0]})",
            allowed="TorchScript (.ts, .pt) or a saved torch.export program (.pt2)",
            remedy="export the network again",
        ) from error
    return program


class _Exported(torch.nn.Module):
    """An exported program; it was exported in evaluation mode and has no other."""

    def __init__(self, program: torch.nn.Module) -> None:
        super().__init__()
        self.program = program

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Return the logits of windows."""
        logits: torch.Tensor = self.program(windows)
        return logits

    def train(self, mode: bool = True) -> _Exported:
        """Keep the mode of the export."""
        return self
