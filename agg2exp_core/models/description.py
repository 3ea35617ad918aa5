"""A model described in YAML: a MONAI network with its weights, a program, or a folder of nnU-Net."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import monai.networks.nets
import torch
from pydantic import BeforeValidator, Field

from agg2exp_core.errors import ModelError, UsageError, nearest
from agg2exp_core.models.nnunet import NnunetOptions, load_nnunet, trained_folder
from agg2exp_core.models.transforms import described_transforms
from agg2exp_core.models.weights import load_program, load_weights
from agg2exp_core.models.wrapping import wrap_network
from agg2exp_core.settings import Positive, Real, Settings, read_yaml
from agg2exp_core.types import Preprocessing, SegmentationModel, WindowSettings
from agg2exp_core.volumes import CTPreprocessing

Text = Annotated[str, Field(coerce_numbers_to_str=True)]


class NetworkDescription(Settings, extra="ignore"):
    """A network of `monai.networks.nets` by name, and its arguments."""

    name: str
    """A class such as SwinUNETR, which takes windows and gives logits."""
    arguments: dict[str, Any] = {}
    """What it is made with."""

    def build(self) -> torch.nn.Module:
        """Return the network with the weights that it makes itself.

        Raises
        ------
        UsageError
            If MONAI has no such network, or it refuses the arguments.
        """
        known, kind = dir(monai.networks.nets), getattr(monai.networks.nets, self.name, None)
        if not (isinstance(kind, type) and issubclass(kind, torch.nn.Module)):
            raise UsageError(
                "network.name",
                got=repr(self.name),
                allowed="a class in monai.networks.nets, such as UNet",
                remedy=nearest(self.name, known),
            )
        try:
            network: torch.nn.Module = kind(**self.arguments)
        except Exception as error:  # constructors raise whatever odd arguments provoke
            raise UsageError(
                "network.arguments",
                got=f"arguments that {self.name} refuses ({error})",
                allowed=f"the arguments of {self.name}",
                remedy="correct them",
            ) from error
        return network


class CTSettings(Settings):
    """How a CT scan becomes the network's input: HU clipped and scaled to [0, 1]."""

    kind: Literal["ct"] = "ct"
    spacing_mm: Annotated[Real, Field(gt=0)] = 1.5
    """Edge of a voxel."""
    hu_range: tuple[Real, Real] = (-1024.0, 1024.0)
    """Hounsfield units that become 0 and 1."""

    def build(self, where: Path | None = None) -> CTPreprocessing:
        """Return what the settings describe."""
        return CTPreprocessing(self.spacing_mm, self.hu_range)


class TransformSettings(Settings):
    """How any scan becomes the network's input: by MONAI's transforms."""

    kind: Literal["monai"] = "monai"
    transforms: list[dict[str, Any]]
    """As bundles write them, such as ``{_target_: Orientationd, keys: image, axcodes: RAS}``."""

    def build(self, where: Path) -> Preprocessing:
        """Return what the settings of a file describe; see `described_transforms`."""
        return described_transforms(where, self.transforms)


def _with_a_shape(windows: Any) -> Any:
    return {"shape": (96, 96, 96), **windows} if isinstance(windows, dict) else windows


class ModelDescription(Settings):
    """A network with its weights, its windows, its classes and its preprocessing."""

    class_names: tuple[str, ...]
    """The classes in the order of the logits, background first."""
    weights: str
    """File beside the description: ``.safetensors``, ``.pt`` of tensors, or a program ``.ts``, ``.pt2``."""
    windows: Annotated[WindowSettings, BeforeValidator(_with_a_shape)]
    """How the network is slid over a scan."""
    preprocessing: Annotated[CTSettings | TransformSettings, Field(discriminator="kind")]
    """From a scan to the network's input."""
    name: Text | None = None
    """For people; by default that of the file."""
    network: NetworkDescription | None = None
    """What the weights are of; a program needs none."""
    n_channels: Positive = 1
    """Channels of a preprocessed image."""
    activation: Literal["softmax", "sigmoid", "regions"] = "softmax"
    """What the network was trained with, as `wrap_network` takes it."""
    output: str | int | None = None
    """Which item of a tuple, list or mapping that the network returns; by default the first."""

    def load(self, path: Path, device: torch.device) -> SegmentationModel:
        """Return the model that a file describes so."""
        weights = path.parent / self.weights
        if not weights.is_file():
            got = f"{self.weights!r}, which is not there"
            raise UsageError("weights", got=got, allowed="a file beside the description", remedy="name it")
        if self.network is None:
            return self.wrap(load_program(weights, device), path, device)
        network = self.network.build()
        left_over = load_weights(network, weights)
        return replace(self.wrap(network, path, device), remarks=left_over)

    def wrap(self, network: torch.nn.Module, path: Path, device: torch.device) -> SegmentationModel:
        """Return the model that a file describes so, of a network that has its weights."""
        return wrap_network(
            network,
            self.class_names,
            self.windows.shape,
            self.windows.overlap,
            self.windows.blend,
            sigma_scale=self.windows.sigma_scale,
            grid=self.windows.grid,
            activation=self.activation,
            output=self.output,
            n_channels=self.n_channels,
            preprocessing=self.preprocessing.build(path),
            device=device,
            name=self.name or path.stem,
        )


class NnunetDescription(NnunetOptions):
    """A model of nnU-Net, and what of it is taken."""

    nnunet: str
    """Its folder."""
    name: Text | None = None
    """For people; by default the data set's."""

    def load(self, path: Path, device: torch.device) -> SegmentationModel:
        """Return the model that a file describes so."""
        folder = trained_folder(path.parent / self.nnunet)
        if folder is None:
            raise UsageError(
                "nnunet", got=repr(self.nnunet), allowed="a folder with plans.json", remedy="check the path"
            )
        return load_nnunet(folder, device, self, self.name)


def load_description(path: Path, device: torch.device) -> SegmentationModel:
    """Load the model that a YAML file describes.

    Parameters
    ----------
    path : Path
        With the fields of `ModelDescription`, or of `NnunetDescription`.
    device : torch.device
        Where to put it.

    Raises
    ------
    ModelError
        If the description is incomplete or does not fit the weights.
    """
    try:
        content = read_yaml(path)
        is_nnunet = isinstance(content, dict) and "nnunet" in content
        kind = NnunetDescription if is_nnunet else ModelDescription
        return kind.checked(content, path).load(path, device)
    except UsageError as error:
        where = error.where if error.where.startswith(str(path)) else f"{path}: {error.where}"
        raise ModelError(where, got=error.got, allowed=error.allowed, remedy=error.remedy) from error
