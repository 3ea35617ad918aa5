"""What nnU-Net's plans and data set ask for: checked, and built by nnU-Net's own package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from agg2exp_core.errors import ModelError
from agg2exp_core.labels import BACKGROUND
from agg2exp_core.models.nnunet_preprocessing import NORMALIZATIONS

ORIENTATIONS = {
    "SimpleITKIO": None,
    "NibabelIO": None,
    "SimpleITKIOWithReorient": "RAS",
    "NibabelIOWithReorient": "RAS",
}
"""What nnU-Net's readers do to a scan: nothing, or turn it."""
GEOMETRIES = {
    "SimpleITKIO": "itk",
    "SimpleITKIOWithReorient": "itk",
    "NibabelIO": "zooms",
    "NibabelIOWithReorient": "nifti",
}
"""Which grid they take a NIfTI file to lie on, where its header tells several."""
_PREPROCESSOR = "DefaultPreprocessor"
_NETWORKS = ("PlainConvUNet", "ResidualEncoderUNet")
_RESAMPLINGS = (
    "resample_data_or_seg_to_shape",
    "no_resampling_data_or_seg_to_shape",
    "resample_torch_simple",
    "resample_torch_fornnunet",
)


def check_plans(where: Path, plans: Mapping[str, Any], configuration: Any) -> None:
    """Refuse what plans may ask for and is not done here; no class is looked up that is not listed.

    Parameters
    ----------
    where : Path
        The plans' file, for messages.
    plans : mapping
        Its content.
    configuration : nnunetv2's ConfigurationManager
        The configuration that the network was trained with.

    Raises
    ------
    ModelError
        Which names the key, its value and what is allowed.
    """
    architecture = configuration.configuration["architecture"]
    imported = [architecture["arch_kwargs"].get(key) for key in architecture["_kw_requires_import"]]
    foreign = [name for name in imported if name is not None and not name.startswith("torch.nn.")]
    schemes, kind = set(configuration.normalization_schemes), architecture["network_class_name"]
    resampling = configuration.configuration["resampling_fn_data"]
    manager = plans.get("label_manager", "LabelManager")
    checks = (
        ("patch_size", len(configuration.patch_size) == 3, "three axes"),
        ("previous_stage", configuration.previous_stage_name is None, "no cascade"),
        ("label_manager", manager == "LabelManager", "LabelManager"),
        ("preprocessor_name", configuration.preprocessor_name == _PREPROCESSOR, _PREPROCESSOR),
        ("normalization_schemes", schemes <= set(NORMALIZATIONS), ", ".join(NORMALIZATIONS)),
        ("image_reader_writer", plans["image_reader_writer"] in ORIENTATIONS, ", ".join(ORIENTATIONS)),
        ("network_class_name", kind.rpartition(".")[2] in _NETWORKS, " or ".join(_NETWORKS)),
        ("_kw_requires_import", not foreign, "layers of torch.nn"),
        ("resampling_fn_data", resampling in _RESAMPLINGS, ", ".join(_RESAMPLINGS)),
    )
    known = {**plans, **architecture, **configuration.configuration, "_kw_requires_import": foreign}
    for key, is_fine, allowed in checks:
        if not is_fine:
            raise unusable(where, f"{key} {known.get(key)!r}", allowed)


def classes_of(dataset: Mapping[str, Any]) -> tuple[list[str], bool]:
    """Return the names of the classes, background first, and whether they are regions."""
    from nnunetv2.utilities.label_handling.label_handling import LabelManager

    labels = dataset["labels"]
    manager = LabelManager(labels, dataset.get("regions_class_order"))
    if manager.has_regions:
        regions = [name for name, values in labels.items() if name != "ignore" and values not in (0, [0])]
        return [BACKGROUND, *regions], True
    names = {int(value[0] if isinstance(value, list) else value): name for name, value in labels.items()}
    return [names[value] for value in manager.all_labels], False


def network_of_plans(configuration: Any, n_channels: int, n_outputs: int) -> torch.nn.Module:
    """Return the network of the plans, without weights and without deep supervision."""
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    kind = configuration.network_arch_class_name.rpartition(".")[2]
    network: torch.nn.Module = get_network_from_plans(
        f"dynamic_network_architectures.architectures.unet.{kind}",
        configuration.network_arch_init_kwargs,
        configuration.network_arch_init_kwargs_req_import,
        n_channels,
        n_outputs,
        allow_init=False,
        deep_supervision=False,
    )
    return network


def unusable(where: Path, got: str, allowed: str) -> ModelError:
    """Return the error for a folder of nnU-Net that cannot be used."""
    return ModelError(where, got=got, allowed=allowed, remedy="name another model, or export this one again")
