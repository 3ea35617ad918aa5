"""A folder of nnU-Net v2 becomes a model: network, windows, labels and preprocessing of its own plans.

The network is the one that the plans describe. A trainer that built another one is noticed by its weights,
which do not fit.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from agg2exp_core.errors import ModelError
from agg2exp_core.models.heads import MeanOfFlips, MeanOfNetworks
from agg2exp_core.models.nnunet_checkpoint import Checkpoint, read_checkpoint
from agg2exp_core.models.nnunet_plans import (
    GEOMETRIES,
    ORIENTATIONS,
    check_plans,
    classes_of,
    network_of_plans,
    unusable,
)
from agg2exp_core.models.nnunet_preprocessing import NnunetPreprocessing
from agg2exp_core.models.weights import fit_weights
from agg2exp_core.models.wrapping import wrap_network
from agg2exp_core.settings import Real, Settings
from agg2exp_core.types import SegmentationModel

_PLANS, _DATASET = "plans.json", "dataset.json"
_CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")
_MR = ("MR", "T1", "T2", "FLAIR", "DWI", "ADC")
"""How names of channels begin that are no CT."""
_ONE_OF_EACH = [list(places) for places in product((0, 1), (2, 3), (4, 5))]


class NnunetOptions(Settings):
    """What of a folder is taken, and how."""

    folds: Annotated[list[int | str], Field(min_length=1)] | None = None
    """Folds whose mean is the model; by default all numbered ones, or ``fold_all`` where it is alone."""
    checkpoint: str | None = None
    """File in each fold; by default ``checkpoint_final.pth``, else ``checkpoint_best.pth``."""
    mirroring: bool = False
    """Whether windows are mirrored along the axes that the training allowed: the mean over all flips is then
    the model, and each pass costs up to eight."""
    step: Annotated[Real, Field(gt=0, le=1)] = 0.5
    """Distance of windows as a share of their size."""
    orientation: str | None = None
    """Axis codes that scans are brought to first, such as RAS; by default what the plans' reader does."""

    @field_validator("orientation")
    @classmethod
    def _is_one_of_each_axis(cls, codes: str | None) -> str | None:
        if codes is not None and sorted(map("RLAPSI".find, codes)) not in _ONE_OF_EACH:
            raise PydanticCustomError("orientation", "three of R/L, A/P, S/I, such as RAS")
        return codes


def trained_folder(path: Path) -> Path | None:
    """Return the folder with the plans: `path` itself, or the only one in it; None if there is none.

    Raises
    ------
    ModelError
        If it holds several.
    """
    if (path / _PLANS).is_file():
        return path
    found = sorted(plans.parent for plans in path.glob(f"*/{_PLANS}"))
    if len(found) > 1:
        raise unusable(
            path, f"{len(found)} trained models ({', '.join(f.name for f in found)})", "one of them"
        )
    return found[0] if found else None


def load_nnunet(
    folder: Path, device: torch.device, options: NnunetOptions, name: str | None = None
) -> SegmentationModel:
    """Load a trained model: ``plans.json``, ``dataset.json`` and ``fold_*/checkpoint_*.pth``.

    Parameters
    ----------
    folder : Path
        Such as ``nnUNetTrainer__nnUNetPlans__3d_fullres``.
    device : torch.device
        Where to put the network.
    options : NnunetOptions
        Which folds, and how they are run.
    name : str, optional
        For people; by default the data set's.

    Raises
    ------
    ModelError
        If nnU-Net is not installed, a part is missing, or the plans ask for what cannot be honoured.
    """
    try:
        from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
    except ImportError as error:
        raise ModelError(
            folder,
            got=f"a model of nnU-Net, which is not installed ({error})",
            allowed="nnU-Net's own package beside this one",
            remedy="install it: pip install 'agg2exp[nnunet]'",
        ) from error
    raw, dataset = _read(folder / _PLANS), _read(folder / _DATASET)
    checkpoints = _checkpoints(folder, options)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # older plans are said to be converted
            plans = PlansManager(raw)
            configuration = plans.get_configuration(checkpoints[0].configuration)
        check_plans(folder / _PLANS, raw, configuration)
        window_shape = tuple(int(n) for n in configuration.patch_size)
        class_names, has_regions = classes_of(dataset)
        channels = dict(dataset.get("channel_names") or dataset["modality"])
        n_channels = len(channels)
        networks = [
            network_of_plans(configuration, n_channels, len(class_names) - has_regions) for _ in checkpoints
        ]
        preprocessing = NnunetPreprocessing(
            configuration,
            tuple(plans.transpose_forward),
            plans.foreground_intensity_properties_per_channel,
            options.orientation or ORIENTATIONS[raw["image_reader_writer"]],
            GEOMETRIES[raw["image_reader_writer"]],
            any(str(name).upper().startswith(_MR) for name in channels.values()),
        )
    except ModelError:
        raise
    except Exception as error:  # nnU-Net raises whatever odd plans provoke
        raise unusable(
            folder, f"plans that nnU-Net cannot use ({type(error).__name__}: {error})", "its own"
        ) from error
    remarks = [
        remark
        for network, checkpoint in zip(networks, checkpoints, strict=True)
        for remark in fit_weights(network, checkpoint.weights, checkpoint.path)
    ]
    network = networks[0] if len(networks) == 1 else MeanOfNetworks(networks)
    mirrored = _mirror_axes(checkpoints[0]) if options.mirroring else ()
    model = wrap_network(
        MeanOfFlips(network, mirrored) if mirrored else network,
        class_names,
        window_shape,
        overlap=1 - options.step,
        blend="gaussian",
        grid="nnunet",
        activation="regions" if has_regions else "softmax",
        n_channels=n_channels,
        preprocessing=preprocessing,
        device=device,
        name=name or str(raw.get("dataset_name", folder.name)),
    )
    origin = {
        "kind": "nnunet",
        "trained": folder.name,
        "configuration": checkpoints[0].configuration,
        "checkpoints": [
            f"{checkpoint.path.parent.name}/{checkpoint.path.name}" for checkpoint in checkpoints
        ],
        "mirrored_axes": list(mirrored),
    }
    return replace(model, origin=origin, remarks=(*model.remarks, *remarks))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise unusable(path, f"nothing that can be read ({error})", "the file that nnU-Net wrote") from error
    if not isinstance(content, dict):
        raise unusable(path, "no mapping", "the file that nnU-Net wrote")
    return content


def _checkpoints(folder: Path, options: NnunetOptions) -> list[Checkpoint]:
    there = sorted(path.name.removeprefix("fold_") for path in folder.glob("fold_*") if path.is_dir())
    folds = [str(fold) for fold in options.folds or ()] or [f for f in there if f != "all"] or there
    names = (options.checkpoint,) if options.checkpoint else _CHECKPOINTS
    paths = []
    for fold in folds:
        files = [folder / f"fold_{fold}" / name for name in names]
        paths.append(next((file for file in files if file.is_file()), files[0]))
    missing = [path for path in paths if not path.is_file()]
    if missing or not paths:
        raise unusable(
            folder,
            f"no {missing[0].parent.name}/{missing[0].name}" if missing else "no fold",
            f"{' or '.join(names)} in each of the folds ({', '.join(there) or 'fold_0, …'})",
        )
    checkpoints = [read_checkpoint(path) for path in paths]
    configurations = sorted({checkpoint.configuration for checkpoint in checkpoints})
    if len(configurations) > 1:
        raise unusable(folder, f"folds of {' and '.join(configurations)}", "folds of one configuration")
    return checkpoints


def _mirror_axes(checkpoint: Checkpoint) -> tuple[int, ...]:
    if not checkpoint.mirror_axes:
        raise ModelError(
            checkpoint.path,
            got="mirroring of a model that was trained without it",
            allowed="mirroring where the checkpoint names axes",
            remedy="leave out `mirroring`",
        )
    return checkpoint.mirror_axes
