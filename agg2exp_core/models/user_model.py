"""A user's own model: a function that makes it for a device, by ``module:attribute``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch

from agg2exp_core.errors import ModelError, UsageError
from agg2exp_core.models.heads import ACTIVATIONS
from agg2exp_core.plugins import find_plugin
from agg2exp_core.types import SegmentationModel, WindowSettings

_ALLOWED = "a function of a device that returns a SegmentationModel, as wrap_network does"
_MOST_OF_A_MESSAGE = 200
_KINDS: dict[str, Any] = {
    "network": torch.nn.Module,
    "class_names": tuple,
    "n_channels": int,
    "windows": WindowSettings,
    "preprocessing": Callable,
    "device": torch.device,
    "dtype": torch.dtype,
    "name": str,
    "fingerprint": str,
}


def is_module_reference(ref: str) -> bool:
    """Say whether a reference is written ``module:attribute``."""
    module, colon, attribute = ref.partition(":")
    return bool(colon) and all(part.isidentifier() for part in (*module.split("."), *attribute.split(".")))


def find_maker(ref: str) -> Callable[[torch.device], Any]:
    """Return the function that ``module:attribute`` names, which makes a model; it is not called.

    Raises
    ------
    UsageError
        If there is no such module, or nothing in it that can be called.
    """
    found = find_plugin("model", ref)
    if not callable(found):
        raise UsageError(
            "model", got=f"{ref!r}, a {type(found).__name__}", allowed=_ALLOWED, remedy="name a function"
        )
    maker: Callable[[torch.device], Any] = found
    return maker


def make_model(ref: str, device: torch.device) -> SegmentationModel:
    """Return the model that a user's function makes for a device.

    Parameters
    ----------
    ref : str
        ``module:attribute``.
    device : torch.device
        Where its network is to be.

    Raises
    ------
    UsageError
        If there is no such function.
    ModelError
        If it fails, or what it returns is no model whose parts fit each other and the device.
    """
    maker = find_maker(ref)
    try:
        made = maker(device)
    except Exception as error:  # whatever a user's function does
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:_MOST_OF_A_MESSAGE]}"
        raise _refused(ref, f"a function that fails ({said})") from error
    flaw = next(_flaws(made, device), None)
    if flaw is not None:
        raise _refused(ref, f"a function that returns {flaw}")
    model: SegmentationModel = made
    return model if model.origin else replace(model, origin={"kind": "python", "reference": ref})


def _refused(ref: str, got: str) -> ModelError:
    return ModelError(ref, got=got, allowed=_ALLOWED, remedy="correct the function (docs/own_model.md)")


def _flaws(model: Any, device: torch.device) -> Iterator[str]:
    """Yield what is wrong with what a function returned, the gravest first."""
    if not isinstance(model, SegmentationModel):
        yield f"a {type(model).__name__}"
        return
    for name, kind in _KINDS.items():
        part = getattr(model, name)
        if not isinstance(part, kind):
            yield f"a model whose {name} is a {type(part).__name__}, no {kind.__name__}"
            return
    names = model.class_names
    if len(set(names)) < max(2, len(names)) or not all(isinstance(name, str) and name for name in names):
        yield f"the class names {names!r}, which are not two or more different names"
    if model.network.training:
        yield "a network that is not in evaluation mode"
    if model.n_channels < 1:
        yield f"the n_channels {model.n_channels}, which are not 1 or more"
    if model.decision not in ACTIVATIONS.values():
        yield f"the decision {model.decision!r}, which is none of {', '.join(set(ACTIVATIONS.values()))}"
    if not model.dtype.is_floating_point:
        yield f"the dtype {model.dtype}, which is no floating point type"
    tensors = [*model.network.parameters(), *model.network.buffers()]
    elsewhere = {model.device.type, *(tensor.device.type for tensor in tensors)} - {device.type}
    if elsewhere:
        yield f"a model on {', '.join(sorted(elsewhere))} for the device {device}"
    if not model.name or not model.fingerprint:
        yield f"the name {model.name!r} with the fingerprint {model.fingerprint!r}, which may not be empty"
    try:
        json.dumps([dict(model.preprocessing.describe()), dict(model.origin)])
    except Exception as error:  # whatever a user's describe does
        yield f"preprocessing that does not describe itself, or an origin, as JSON can hold it ({error})"
