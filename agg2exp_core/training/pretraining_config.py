"""What a self-supervised pre-training is told; YAML, checked where it comes in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from agg2exp_core.training.config import (
    Count,
    NetworkConfig,
    PhantomData,
    Schedule,
    Section,
    packaged_configs,
    read_section,
)


class TreeScans(Section):
    """The scans of TotalSegmentator's tree; ``meta.csv`` says which split (train, val) each is in."""

    kind: Literal["totalsegmentator"] = "totalsegmentator"
    folder: Path


class ListedScans(Section):
    """The images of a MONAI datalist with ``training`` and ``validation``; labels are not needed."""

    kind: Literal["datalist"] = "datalist"
    file: Path


class PretrainingSettings(Schedule):
    """How an encoder is pre-trained; the defaults are those of Tang et al. 2022.

    Parameters
    ----------
    batch_size : int
        Patches per forward pass and device, of which two views each are seen; the other patches are what
        contrastive coding tells a patch from.
    masked_share : float
        Of a view's voxels that are cut out.
    inpainting_weight, rotation_weight, contrastive_weight : float
        The loss is the sum of the three tasks' losses times these.
    temperature : float
        Of contrastive coding.
    n_validation_batches : int
        Batches that the weights are scored on, always the same.
    **schedule
        See `Schedule`.
    """

    n_steps: Count = 450_000
    batch_size: Annotated[int, Field(ge=2)] = 4
    learning_rate: Annotated[float, Field(gt=0)] = 4e-4
    warm_up: Annotated[int, Field(ge=0)] = 500
    masked_share: Annotated[float, Field(gt=0, lt=1)] = 0.3
    inpainting_weight: Annotated[float, Field(ge=0)] = 1.0
    rotation_weight: Annotated[float, Field(ge=0)] = 1.0
    contrastive_weight: Annotated[float, Field(ge=0)] = 1.0
    temperature: Annotated[float, Field(gt=0)] = 0.5
    n_validation_batches: Count = 16

    @model_validator(mode="after")
    def _turns_keep_the_shape(self) -> Self:
        if self.window_shape[0] != self.window_shape[1] or any(n % 32 for n in self.window_shape):
            raise ValueError("window_shape of two equal numbers and a third, each a multiple of 32")
        return self


class PretrainingConfig(NetworkConfig):
    """A whole pre-training.

    Parameters
    ----------
    data : PhantomData, TreeScans or ListedScans
        What it learns from and is chosen by.
    training : PretrainingSettings
        How.
    **network
        See `NetworkConfig`; the encoder is that of the Swin UNETR that will take it over.
    """

    data: Annotated[PhantomData | TreeScans | ListedScans, Field(discriminator="kind")]
    training: PretrainingSettings = PretrainingSettings()

    @property
    def encoder_file(self) -> str:
        """The name of the file of the encoder's weights."""
        return f"{self.name}.safetensors"


def read_pretraining_config(name_or_file: str | Path) -> PretrainingConfig:
    """Read a configuration: a packaged one by name, or a YAML file.

    Raises
    ------
    UsageError
        If there is none, or something in it is missing, unknown or out of range.
    """
    return read_section(PretrainingConfig, packaged_configs("pretraining"), name_or_file)
