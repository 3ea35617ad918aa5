"""A MONAI bundle folder becomes a model.

A bundle's configuration may name code and hold expressions that are run: a bundle is code. What goes beyond
MONAI's own parts needs the user's trust (`agg2exp_core.models.trust`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.inferers import SlidingWindowInferer

from agg2exp_core.errors import ModelError
from agg2exp_core.labels import BACKGROUND
from agg2exp_core.models.transforms import parsed, preprocessing_of, without_readers
from agg2exp_core.models.trust import check_trust
from agg2exp_core.models.weights import load_program, load_weights
from agg2exp_core.models.wrapping import wrap_network
from agg2exp_core.remarks import Remark
from agg2exp_core.types import SegmentationModel


def load_bundle(folder: Path, device: torch.device) -> SegmentationModel:
    """Load a bundle: ``configs/inference.json``, ``configs/metadata.json`` and ``models/``.

    Parameters
    ----------
    folder : Path
        The bundle.
    device : torch.device
        Where to put the network.

    Raises
    ------
    ModelError
        If a part is missing, or asks for what cannot be honoured.
    """
    config = _read_configs(folder)
    metadata = _read_metadata(folder / "configs" / "metadata.json")
    parser = ConfigParser(config | {"preprocessing": without_readers(config["preprocessing"])})
    parser["bundle_root"] = str(folder)
    parser["device"] = device
    try:
        parser.resolve_macro_and_relative_ids()
    except Exception as error:  # a macro may name any file
        raise _wrong(
            folder, f"a macro that leads nowhere ({error})", "macros of files that are there"
        ) from error
    check_trust(folder, parser.config, ("preprocessing", "inferer", "network_def"))
    try:
        outputs = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
        image = metadata["network_data_format"]["inputs"]["image"]
        n_channels = int(image["num_channels"])
        class_names = [str(outputs[key]) for key in sorted(outputs, key=int)]
    except (LookupError, TypeError, ValueError) as error:
        raise _wrong(
            folder / "configs" / "metadata.json",
            f"no usable {error}",
            "network_data_format with inputs.image.num_channels and outputs.pred.channel_def",
        ) from error
    windows = _windows(parsed(parser, "inferer", folder), folder)
    activation = _activation(config, class_names)
    network, left_over = _network(parser, folder, device)
    model = wrap_network(
        network,
        [BACKGROUND, *class_names] if activation == "sigmoid" else class_names,
        **windows,
        n_channels=n_channels,
        activation=activation,
        preprocessing=preprocessing_of(
            parser, folder, {"bundle": config["preprocessing"]}, str(image.get("modality") or "")
        ),
        device=device,
        name=str(metadata.get("name", folder.name)),
    )
    return replace(model, remarks=left_over)


def _windows(inferer: Any, folder: Path) -> dict[str, Any]:
    """Return the windows of an inferer, as `wrap_network` takes them."""
    if not isinstance(inferer, SlidingWindowInferer):
        raise _wrong(folder, f"the inferer {type(inferer).__name__}", "SlidingWindowInferer")
    if str(getattr(inferer.padding_mode, "value", inferer.padding_mode)) != "constant" or inferer.cval != 0:
        raise _wrong(folder, "padding other than zeros", "padding_mode constant with cval 0")
    if not isinstance(inferer.sigma_scale, int | float):
        raise _wrong(folder, f"sigma_scale {inferer.sigma_scale}", "one sigma_scale for all axes")
    size, overlap = inferer.roi_size, inferer.overlap
    try:
        shape = (int(size),) * 3 if isinstance(size, int) else tuple(int(n) for n in size)
        overlaps = (
            {float(part) for part in overlap} if isinstance(overlap, tuple | list) else {float(overlap)}
        )
    except (TypeError, ValueError) as error:
        raise _wrong(
            folder, f"roi_size {size!r} with overlap {overlap!r}", "three numbers of voxels, and a share"
        ) from error
    if len(overlaps) != 1:
        raise _wrong(folder, f"overlaps {sorted(overlaps)}", "one overlap for all axes")
    return {
        "window_shape": shape,
        "overlap": overlaps.pop(),
        "blend": str(getattr(inferer.mode, "value", inferer.mode)),
        "sigma_scale": float(inferer.sigma_scale),
    }


def _activation(config: Mapping[str, Any], names: Sequence[str]) -> str:
    """Return how the logits compete: the bundle's own step after the network says so.

    A sigmoid over channels of which one is the background decides as softmax does: the largest logit wins.
    """
    steps = config.get("postprocessing")
    steps = steps.get("transforms") if isinstance(steps, Mapping) else None
    for step in steps if isinstance(steps, list) else ():
        target = str(step.get("_target_", "")) if isinstance(step, Mapping) else ""
        if target.rpartition(".")[2] in ("Activations", "Activationsd") and step.get("sigmoid") is True:
            return "softmax" if [name.lower() for name in names[:1]] == [BACKGROUND] else "sigmoid"
    return "softmax"


def _wrong(where: Path, got: str, allowed: str) -> ModelError:
    return ModelError(where, got=got, allowed=allowed, remedy="correct the bundle, or use another model")


def _read_configs(folder: Path) -> dict[str, Any]:
    for name in ("inference.json", "inference.yaml", "inference.yml"):
        path = folder / "configs" / name
        if path.is_file():
            try:
                config = ConfigParser.load_config_file(str(path))
            except Exception as error:  # JSON and YAML readers have errors of their own
                raise _wrong(
                    path, f"a configuration that cannot be read ({error})", "JSON or YAML"
                ) from error
            for key in ("inferer", "preprocessing"):
                if not isinstance(config, dict) or key not in config:
                    raise _wrong(path, f"no {key!r}", "inferer, preprocessing, network or network_def")
            return dict(config)
    raise _wrong(folder / "configs", "no inference.json", "inference.json or inference.yaml")


def _read_metadata(path: Path) -> Mapping[str, Any]:
    try:
        metadata: Mapping[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise _wrong(path, "no metadata that can be read", "the bundle's metadata.json") from error
    return metadata


def _network(
    parser: ConfigParser, folder: Path, device: torch.device
) -> tuple[torch.nn.Module, tuple[Remark, ...]]:
    """TorchScript by the bundle's own expression or in ``models/``, or a definition with weights."""
    scripted, weights = folder / "models" / "model.ts", folder / "models" / "model.pt"
    if "network_def" in parser.config and weights.is_file():
        network: torch.nn.Module = parsed(parser, "network_def", folder)
        return network, load_weights(network, weights)
    if scripted.is_file():
        return load_program(scripted, device), ()
    raise _wrong(folder / "models", "no network", "model.ts, or model.pt and a network_def")
