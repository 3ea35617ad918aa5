"""A model described in YAML: a MONAI network with its weights, or a program."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import monai.networks.nets
import torch
import yaml

from agg2exp_core.errors import ModelError
from agg2exp_core.models.nnunet import NnunetOptions, load_nnunet, trained_folder
from agg2exp_core.models.transforms import described_transforms
from agg2exp_core.models.weights import load_program, load_weights
from agg2exp_core.models.wrapping import wrap_network
from agg2exp_core.types import Preprocessing, SegmentationModel
from agg2exp_core.volumes import CTPreprocessing

_REQUIRED = ("class_names", "weights", "windows", "preprocessing")
_OPTIONAL = ("name", "network", "n_channels", "activation", "output")
_PREPROCESSING = {"ct": ("spacing_mm", "hu_range"), "monai": ("transforms",)}
_NNUNET = ("nnunet", "name", *NnunetOptions.__dataclass_fields__)


def load_description(path: Path, device: torch.device) -> SegmentationModel:
    """Load the model that a YAML file describes.

    Parameters
    ----------
    path : Path
        With the keys ``class_names``, ``weights`` (``.safetensors``, ``.pt`` read with
        ``weights_only``, or a program ``.ts``, ``.pt2``), ``windows`` (``shape``, ``overlap``,
        ``blend``), ``preprocessing`` (``kind: ct``, ``spacing_mm``, ``hu_range``, or ``kind: monai`` with
        ``transforms``); and for weights ``network`` (``name`` of a class in `monai.networks.nets`, its
        ``arguments``). May have ``name``, ``n_channels``, ``activation`` and ``output`` as `wrap_network`
        takes them. Or with the key ``nnunet``, a folder of nnU-Net, and the fields of `NnunetOptions`.
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
    if isinstance(content, dict) and "nnunet" in content:
        return _load_nnunet(path, content, device)
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
            activation=str(content.get("activation", "softmax")),
            output=content.get("output"),
            preprocessing=_preprocessing(path, content["preprocessing"]),
            device=device,
            name=str(content.get("name", path.stem)),
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise _wrong(path, f"settings that do not fit ({error})", "those of the README's example") from error


def _load_nnunet(path: Path, content: Mapping[str, Any], device: torch.device) -> SegmentationModel:
    unknown = sorted(set(content) - set(_NNUNET))
    if unknown:
        raise _wrong(path, f"the unknown key {unknown[0]!r}", ", ".join(_NNUNET))
    folder = trained_folder(path.parent / str(content["nnunet"]))
    if folder is None:
        raise _wrong(path, f"no model of nnU-Net in {content['nnunet']!r}", "a folder with plans.json")
    options = {key: value for key, value in content.items() if key not in ("nnunet", "name")}
    return load_nnunet(folder, device, NnunetOptions(**options), content.get("name"))


def _wrong(path: Path, got: str, allowed: str) -> ModelError:
    return ModelError(path, got=got, allowed=allowed, remedy="correct the model description")


def _build(path: Path, network: Any) -> torch.nn.Module:
    name = network.get("name") if isinstance(network, Mapping) else network
    kind = getattr(monai.networks.nets, str(name), None)
    if not (isinstance(kind, type) and issubclass(kind, torch.nn.Module)):
        raise _wrong(path, f"the network {name!r}", "a class in monai.networks.nets, such as UNet")
    try:
        built: torch.nn.Module = kind(**network.get("arguments", {}))
    except Exception as error:  # constructors raise whatever odd arguments provoke
        raise _wrong(path, f"arguments that {name} refuses ({error})", f"the arguments of {name}") from error
    return built


def _preprocessing(path: Path, settings: Any) -> Preprocessing:
    kind = settings.get("kind") if isinstance(settings, Mapping) else settings
    known = _PREPROCESSING.get(str(kind))
    if known is None or not isinstance(settings, Mapping):
        raise _wrong(path, f"preprocessing {kind!r}", "kind: ct, or kind: monai with transforms")
    unknown = sorted(set(settings) - {"kind", *known})
    if unknown:
        raise _wrong(path, f"the unknown key {unknown[0]!r} of preprocessing", ", ".join(known))
    if kind == "monai":
        return described_transforms(path, settings.get("transforms"))
    low, high = settings.get("hu_range", (-1024.0, 1024.0))
    return CTPreprocessing(float(settings.get("spacing_mm", 1.5)), (float(low), float(high)))
