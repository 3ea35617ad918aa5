"""A MONAI bundle folder becomes a model.

A bundle's configuration may hold expressions that are run: a bundle is code, and must be trusted.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.inferers import SlidingWindowInferer
from monai.transforms import Compose

from agg2exp_core.errors import ModelError
from agg2exp_core.models.description import load_program, load_weights
from agg2exp_core.models.wrapping import wrap_network
from agg2exp_core.types import SegmentationModel
from agg2exp_core.volumes import MonaiPreprocessing


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
    parser = ConfigParser(config | {"preprocessing": _without_readers(config["preprocessing"])})
    parser["bundle_root"] = str(folder)
    parser["device"] = device
    try:
        outputs = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
        n_channels = int(metadata["network_data_format"]["inputs"]["image"]["num_channels"])
    except (KeyError, TypeError) as error:
        raise _wrong(
            folder / "configs" / "metadata.json",
            f"no {error}",
            "network_data_format with inputs.image.num_channels and outputs.pred.channel_def",
        ) from error
    class_names = [str(outputs[key]) for key in sorted(outputs, key=int)]
    inferer = _parse(parser, "inferer", folder)
    if not isinstance(inferer, SlidingWindowInferer):
        raise _wrong(folder, f"the inferer {type(inferer).__name__}", "SlidingWindowInferer")
    if str(getattr(inferer.padding_mode, "value", inferer.padding_mode)) != "constant" or inferer.cval != 0:
        raise _wrong(folder, "padding other than zeros", "padding_mode constant with cval 0")
    overlaps = set(inferer.overlap) if isinstance(inferer.overlap, tuple | list) else {inferer.overlap}
    if len(overlaps) != 1:
        raise _wrong(folder, f"overlaps {sorted(overlaps)}", "one overlap for all axes")
    transforms = _parse(parser, "preprocessing", folder)
    return wrap_network(
        _network(parser, folder, device),
        class_names,
        _three(inferer.roi_size),
        overlap=float(overlaps.pop()),
        blend=str(getattr(inferer.mode, "value", inferer.mode)),
        sigma_scale=float(inferer.sigma_scale),
        n_channels=n_channels,
        preprocessing=MonaiPreprocessing(
            list(transforms.transforms) if isinstance(transforms, Compose) else [transforms],
            {"bundle": config["preprocessing"]},
        ),
        device=device,
        name=str(metadata.get("name", folder.name)),
    )


def _without_readers(preprocessing: Any) -> Any:
    """Leave out what reads the file: the scan comes read, and the readers ask for codecs."""
    if isinstance(preprocessing, Mapping) and isinstance(preprocessing.get("transforms"), list):
        kept = [step for step in preprocessing["transforms"] if not _reads(step)]
        return {**preprocessing, "transforms": kept}
    return preprocessing


def _reads(step: Any) -> bool:
    target = str(step.get("_target_", "")) if isinstance(step, Mapping) else ""
    return target.rpartition(".")[2] in (
        "LoadImage",
        "LoadImaged",
        "EnsureChannelFirst",
        "EnsureChannelFirstd",
    )


def _wrong(where: Path, got: str, allowed: str) -> ModelError:
    return ModelError(where, got=got, allowed=allowed, remedy="correct the bundle, or use another model")


def _three(size: Any) -> tuple[int, ...]:
    return (int(size),) * 3 if isinstance(size, int) else tuple(int(n) for n in size)


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
                if key not in config:
                    raise _wrong(path, f"no {key!r}", "inferer, preprocessing, network or network_def")
            return dict(config)
    raise _wrong(folder / "configs", "no inference.json", "inference.json or inference.yaml")


def _read_metadata(path: Path) -> Mapping[str, Any]:
    try:
        metadata: Mapping[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise _wrong(path, "no metadata that can be read", "the bundle's metadata.json") from error
    return metadata


def _parse(parser: ConfigParser, key: str, folder: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MONAI announces changes of its defaults
            return parser.get_parsed_content(key)
    except Exception as error:  # a bundle's expressions raise whatever they like
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise _wrong(
            folder,
            f"{key!r} that fails ({' '.join(str(cause).split())[:200]})",
            "a bundle that runs in MONAI",
        ) from error


def _network(parser: ConfigParser, folder: Path, device: torch.device) -> torch.nn.Module:
    """TorchScript by the bundle's own expression or in ``models/``, or a definition with weights."""
    scripted, weights = folder / "models" / "model.ts", folder / "models" / "model.pt"
    if "network_def" in parser.config and weights.is_file():
        network: torch.nn.Module = _parse(parser, "network_def", folder)
        load_weights(network, weights)
        return network
    if scripted.is_file():
        return load_program(scripted, device)
    raise _wrong(folder / "models", "no network", "model.ts, or model.pt and a network_def")
