"""Files of weights and programs, read without running code that they bring along."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from agg2exp_core.errors import ModelError
from agg2exp_core.remarks import Remark

_NESTS = ("state_dict", "model", "network_weights", "model_state_dict")
"""Keys under which training code keeps a network's tensors."""
_PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and `torch.compile` put before the names of tensors."""
_OF_TRAINING = ("loss", "criterion", "metric")
"""Words in the names of a training's own parts, which hold buffers beside the network."""
_MOST_NAMED = 3


def load_weights(network: torch.nn.Module, path: Path) -> tuple[Remark, ...]:
    """Load a state dict into a network, never by unpickling code; return what of the file is left over.

    Raises
    ------
    ModelError
        If the file cannot be read so, or its tensors are not the network's.
    """
    state = read_tensors(path)
    for key in _NESTS:
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    return fit_weights(network, state, path)


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


def fit_weights(network: torch.nn.Module, state: Any, where: Path) -> tuple[Remark, ...]:
    """Put a state dict into a network, whichever wrapper its names tell of; return what is left over.

    Parameters
    ----------
    network : torch.nn.Module
        The network.
    state : mapping of str to torch.Tensor
        Its tensors, all under one prefix where a training module held it as an attribute. What lies beside
        that prefix, such as the buffers of a loss, is left over.
    where : Path
        The file, for messages.

    Raises
    ------
    ModelError
        If its tensors are not the network's.
    """
    try:
        tensors = {_bare(name): value for name, value in state.items()}
        prefix = _prefix(tensors, list(network.state_dict()), where)
        own = {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}
        left_over = [name for name in tensors if not name.startswith(prefix)]
        if not prefix:
            left_over = [name for name in own if _is_of_training(name)]
            own = {name: value for name, value in own.items() if name not in left_over}
        network.load_state_dict(own)
    except (RuntimeError, AttributeError, TypeError) as error:
        raise ModelError(
            where,
            got=f"weights of another network ({' '.join(str(error).split())[:200]})",
            allowed=f"the tensors of {type(network).__name__} as it is described",
            remedy="correct the network's arguments, or name the right weights",
        ) from error
    if not left_over:
        return ()
    named = ", ".join(left_over[:_MOST_NAMED]) + ("" if len(left_over) <= _MOST_NAMED else ", …")
    return (Remark("weights", f"{len(left_over)} tensors of {where.name} are left over: {named}"),)


def _prefix(tensors: Mapping[str, Any], wanted: Sequence[str], where: Path) -> str:
    """Return the prefix under which all of a network's tensors lie; empty where there is none."""
    if not wanted or set(wanted) <= set(tensors):
        return ""
    ends = [name.removesuffix(wanted[0]) for name in tensors if name.endswith(f".{wanted[0]}")]
    found = [prefix for prefix in ends if all(prefix + name in tensors for name in wanted)]
    if len(found) > 1:
        raise ModelError(
            where,
            got=f"the tensors of {len(found)} such networks, under {', '.join(found)}",
            allowed="those of one",
            remedy="save the state_dict() of the network that is meant",
        )
    return found[0] if found else ""


def _is_of_training(name: str) -> bool:
    return any(word in name.partition(".")[0].lower() for word in _OF_TRAINING)


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
                program: torch.nn.Module = _Exported(torch.export.load(path))
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

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        super().__init__()
        self.program = program.module()
        self.takes_one = _batch_of(program) == 1

    def forward(self, windows: torch.Tensor) -> Any:
        """Return the logits of windows, one after the other where the export fixed that there is one."""
        if not self.takes_one or len(windows) == 1:
            return self.program(windows)
        outputs = [self.program(window) for window in windows.split(1)]
        first = outputs[0]
        if isinstance(first, Mapping):
            return {key: torch.cat([output[key] for output in outputs]) for key in first}
        if isinstance(first, tuple | list):
            return tuple(map(torch.cat, zip(*outputs, strict=True)))
        return torch.cat(outputs)

    def train(self, mode: bool = True) -> _Exported:
        """Keep the mode of the export."""
        return self


def _batch_of(program: torch.export.ExportedProgram) -> int | None:
    """Return the number of windows that an export fixed; None where it is free."""
    inputs = program.graph_signature.user_inputs
    values = [node.meta.get("val") for node in program.graph.nodes if node.name in inputs]
    size = next((value.shape[0] for value in values if isinstance(value, torch.Tensor) and value.ndim), None)
    return size if isinstance(size, int) else None
