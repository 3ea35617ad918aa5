"""A model described in YAML: a MONAI network with its weights, or a program."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import monai.networks.nets
import torch
import yaml
from safetensors.torch import load_file

from agg2exp_core.errors import ModelError
from agg2exp_core.models.wrapping import wrap_network
from agg2exp_core.types import Preprocessing, SegmentationModel
from agg2exp_core.volumes import CTPreprocessing

_REQUIRED = ("class_names", "weights", "windows", "preprocessing")
_OPTIONAL = ("name", "network", "n_channels")


def load_description(path: Path, device: torch.device) -> SegmentationModel:
    """Load the model that a YAML file describes.

    Parameters
    ----------
    path : Path
        With the keys ``class_names``, ``weights`` (``.safetensors``, ``.pt`` read with
        ``weights_only``, or a program ``.ts``, ``.pt2``), ``windows`` (``shape``, ``overlap``,
        ``blend``), ``preprocessing`` (``kind: ct``, ``spacing_mm``, ``hu_range``); and for weights
        ``network`` (``name`` of a class in `monai.networks.nets`, its ``arguments``).
    device : torch.device
        Where to put it.

    Raises
    ------
    ModelError
        If the description is incomplete or does not fit the weights.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _wrong(path, "text that is not YAML", "a mapping of settings") from error
    if not isinstance(content, dict) or not set(_REQUIRED) <= set(content):
        missing = sorted(set(_REQUIRED) - set(content if isinstance(content, dict) else ()))
        raise _wrong(path, f"no {', '.join(missing)}", f"the keys {', '.join(_REQUIRED + _OPTIONAL)}")
    unknown = sorted(set(content) - set(_REQUIRED + _OPTIONAL))
    if unknown:
        raise _wrong(path, f"the unknown key {unknown[0]!r}", ", ".join(_REQUIRED + _OPTIONAL))
    weights = path.parent / str(content["weights"])
    if not weights.is_file():
        raise _wrong(path, f"weights {str(content['weights'])!r} that are not there", "a file beside it")
    if "network" in content:
        network = _build(path, content["network"])
        load_weights(network, weights)
    else:
        network = load_program(weights, device)
    try:
        return wrap_network(
            network,
            content["class_names"],
            **{"window_shape" if k == "shape" else k: v for k, v in content["windows"].items()},
            n_channels=int(content.get("n_channels", 1)),
            preprocessing=_preprocessing(path, content["preprocessing"]),
            device=device,
            name=str(content.get("name", path.stem)),
        )
    except (TypeError, AttributeError) as error:
        raise _wrong(path, f"settings that do not fit ({error})", "those of the README's example") from error


def _wrong(path: Path, got: str, allowed: str) -> ModelError:
    return ModelError(path, got=got, allowed=allowed, remedy="correct the model description")


def _build(path: Path, network: Any) -> torch.nn.Module:
    name = network.get("name") if isinstance(network, Mapping) else network
    kind = getattr(monai.networks.nets, str(name), None)
    if not (isinstance(kind, type) and issubclass(kind, torch.nn.Module)):
        raise _wrong(path, f"the network {name!r}", "a class in monai.networks.nets, such as UNet")
    try:
        built: torch.nn.Module = kind(**network.get("arguments", {}))
    except (TypeError, ValueError, RuntimeError) as error:
        raise _wrong(path, f"arguments that {name} refuses ({error})", f"the arguments of {name}") from error
    return built


def _preprocessing(path: Path, settings: Any) -> Preprocessing:
    kind = settings.get("kind") if isinstance(settings, Mapping) else settings
    if kind != "ct":
        raise _wrong(path, f"preprocessing {kind!r}", "kind: ct")
    low, high = settings.get("hu_range", (-1024.0, 1024.0))
    return CTPreprocessing(float(settings.get("spacing_mm", 1.5)), (float(low), float(high)))


def load_weights(network: torch.nn.Module, path: Path) -> None:
    """Load a state dict into a network, never by unpickling code.

    Raises
    ------
    ModelError
        If the file cannot be read so, or its tensors are not the network's.
    """
    try:
        state = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as error:  # the readers raise whatever the bytes provoke
        raise ModelError(
            path,
            got=f"weights that cannot be read ({str(error).splitlines()[0]})",
            allowed="safetensors, or tensors saved by torch.save",
            remedy="save the network's state_dict() again",
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    try:
        network.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
    except (RuntimeError, AttributeError, TypeError) as error:
        raise ModelError(
            path,
            got=f"weights of another network ({' '.join(str(error).split())[:200]})",
            allowed=f"the tensors of {type(network).__name__} as it is described",
            remedy="correct the network's arguments, or name the right weights",
        ) from error


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
