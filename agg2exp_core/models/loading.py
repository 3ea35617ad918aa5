"""From a reference to a model, whichever kind of model it is."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import torch

from agg2exp_core.errors import ModelError
from agg2exp_core.models.bundle import load_bundle
from agg2exp_core.models.description import load_description
from agg2exp_core.models.memory_format import with_fast_layout
from agg2exp_core.models.nnunet import NnunetOptions, load_nnunet, trained_folder
from agg2exp_core.models.user_model import find_maker, is_module_reference, make_model
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
        ``.pt``) or exported (``.pt2``) program with its description beside it under the same name; a
        name in `PACKAGED_MODELS`; ``monai:NAME`` of a bundle in MONAI's model zoo; or ``module:attribute``
        of a function that makes a model for a device.
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
        If there is no such device, or no such function.
    """
    target = choose_device(device)
    check_reference(str(ref))
    return with_fast_layout(_loaded(str(ref), target))


def _loaded(ref: str, device: torch.device) -> SegmentationModel:
    if _is_made(ref):
        return make_model(ref, device)
    path = bundle_of(ref) if ref.startswith(SCHEME) else _path_of(ref)
    if (path / "configs").is_dir():
        return load_bundle(path, device)
    if (path / "model.yaml").is_file():
        return load_description(path / "model.yaml", device)
    if path.is_dir() and (folder := trained_folder(path)) is not None:
        return load_nnunet(folder, device, NnunetOptions())
    if path.is_file() and path.suffix in (".yaml", ".yml"):
        return load_description(path, device)
    if path.is_file() and path.suffix in _PROGRAMS:
        description = path.with_suffix(".yaml")
        if not description.is_file():
            raise ModelError(
                path,
                got="a program without a description",
                allowed=f"{description.name} beside it with class_names, windows, preprocessing",
                remedy="write that file (docs/models.md shows one)",
            )
        return load_description(description, device)
    raise ModelError(
        path,
        got="no model that is known here",
        allowed="a folder with configs/ (MONAI bundle), plans.json (nnU-Net) or model.yaml, "
        "or a .yaml, .ts, .pt or .pt2 file",
        remedy="name one of these",
    )


def _path_of(ref: str) -> Path:
    return Path(str(files("agg2exp_core.data") / ref)) if ref in PACKAGED_MODELS else Path(ref)


def _is_made(ref: str) -> bool:
    """Say whether a reference is to a user's function: what is a file or a bundle's name is none."""
    return is_module_reference(ref) and not ref.startswith(SCHEME) and not Path(ref).exists()


def is_model(ref: str) -> bool:
    """Say whether a reference names a model, by the look of it: nothing is loaded."""
    path = Path(ref)
    if ref in PACKAGED_MODELS or ref.startswith(SCHEME) or _is_made(ref):
        return True
    if path.is_dir():
        return (
            (path / "configs").is_dir()
            or (path / "model.yaml").is_file()
            or next(path.glob("plans.json"), next(path.glob("*/plans.json"), None)) is not None
        )
    return path.is_file() and path.suffix in (*_PROGRAMS, ".yaml", ".yml")


def check_reference(ref: str) -> None:
    """Refuse a reference that leads nowhere, without loading what it names.

    Raises
    ------
    ModelError
        If there is nothing there.
    UsageError
        If it names a function that is not there.
    """
    if _is_made(ref):
        find_maker(ref)
    elif not ref.startswith(SCHEME) and not _path_of(ref).exists():
        names = ", ".join(PACKAGED_MODELS)
        raise ModelError(
            ref,
            got="nothing there",
            allowed=f"a model's folder or file, monai:NAME, module:attribute, or one of {names}",
            remedy="check the path",
        )
