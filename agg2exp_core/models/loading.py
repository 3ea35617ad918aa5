"""From a reference to a model, whichever kind of model it is."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import torch

from agg2exp_core.errors import ModelError
from agg2exp_core.models.bundle import load_bundle
from agg2exp_core.models.description import load_description
from agg2exp_core.models.layout import with_fast_layout
from agg2exp_core.models.nnunet import NnunetOptions, load_nnunet, trained_folder
from agg2exp_core.models.wrapping import choose_device
from agg2exp_core.models.zoo import SCHEME, bundle_of
from agg2exp_core.types import SegmentationModel

PACKAGED_MODELS: tuple[str, ...] = ("thorax_phantom", "swin_unetr_v2_small")
"""Models that come with the package, by name."""

_PROGRAMS = (".ts", ".pt", ".pt2")


def load_model(ref: str | Path, device: str | torch.device = "auto") -> SegmentationModel:
    """Load a model from what its makers hand out.

    Parameters
    ----------
    ref : str or Path
        A MONAI bundle folder; a folder of nnU-Net v2 (with ``plans.json``, or whose only folder has
        it); a model description (``.yaml``, or a folder with ``model.yaml``); a TorchScript (``.ts``,
        ``.pt``) or exported (``.pt2``) program with its description beside it under the same name; or
        a name in `PACKAGED_MODELS`, or ``monai:NAME`` of a bundle in MONAI's model zoo.
    device : str or torch.device
        ``auto``, ``cpu``, ``cuda:0``, …

    Returns
    -------
    SegmentationModel
        Window, overlap, blending, classes and preprocessing are the model's own.

    Raises
    ------
    ModelError
        If there is no model, or it asks for what cannot be honoured.
    UsageError
        If there is no such device.
    """
    target = choose_device(device)
    check_reference(str(ref))
    path = _path_of(str(ref))
    if (path / "configs").is_dir():
        return with_fast_layout(load_bundle(path, target))
    if (path / "model.yaml").is_file():
        return with_fast_layout(load_description(path / "model.yaml", target))
    if path.is_dir() and (folder := trained_folder(path)) is not None:
        return with_fast_layout(load_nnunet(folder, target, NnunetOptions()))
    if path.is_file() and path.suffix in (".yaml", ".yml"):
        return with_fast_layout(load_description(path, target))
    if path.is_file() and path.suffix in _PROGRAMS:
        description = path.with_suffix(".yaml")
        if not description.is_file():
            raise ModelError(
                path,
                got="a program without a description",
                allowed=f"{description.name} beside it with class_names, windows, preprocessing",
                remedy="write that file (the README shows one)",
            )
        return load_description(description, target)
    raise ModelError(
        path,
        got="no model that is known here",
        allowed="a folder with configs/ (MONAI bundle), plans.json (nnU-Net) or model.yaml, "
        "or a .yaml, .ts, .pt or .pt2 file",
        remedy="name one of these",
    )


def _path_of(ref: str) -> Path:
    if ref.startswith(SCHEME):
        return bundle_of(ref)
    return Path(str(files("agg2exp_core.data") / ref)) if ref in PACKAGED_MODELS else Path(ref)


def check_reference(ref: str) -> None:
    """Refuse a reference that leads nowhere, without loading what it names.

    Raises
    ------
    ModelError
        If there is nothing there.
    """
    if not ref.startswith(SCHEME) and not _path_of(ref).exists():
        raise ModelError(
            ref,
            got="nothing there",
            allowed=f"a model's folder or file, monai:NAME, or one of {', '.join(PACKAGED_MODELS)}",
            remedy="check the path",
        )
