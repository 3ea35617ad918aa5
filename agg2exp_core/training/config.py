"""What a training or pre-training is told: a network, its data, its schedule; YAML, checked at the door."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, PlainSerializer, field_validator
from pydantic_core import PydanticCustomError

from agg2exp_core.errors import unknown_name
from agg2exp_core.labels import THORAX_CLASSES
from agg2exp_core.models.description import CTSettings, NetworkDescription
from agg2exp_core.settings import Count, Positive, Real, Settings, read_yaml
from agg2exp_core.types import Shape3, WindowSettings

WEIGHTS_FILE = "model.safetensors"

Whole = Annotated[Count, Field(ge=0)]
Weight = Annotated[Real, Field(ge=0)]
Rate = Annotated[Real, Field(gt=0)]


class NetworkSettings(NetworkDescription, extra="forbid"):
    """A network of `monai.networks.nets` by name, its arguments, and weights to start from."""

    pretrained: Path | None = None
    """A file of a Swin encoder's weights, such as the published self-supervised ones."""


class SeedRange(Settings):
    """Phantoms of consecutive seeds."""

    first: Whole
    n: Positive

    @property
    def seeds(self) -> range:
        """The seeds."""
        return range(self.first, self.first + self.n)


class PhantomData(Settings):
    """Phantoms made on the spot."""

    kind: Literal["phantoms"] = "phantoms"
    training: SeedRange
    validation: SeedRange
    test: SeedRange | None = None


class TreeScans(Settings):
    """Scans in TotalSegmentator's tree; ``meta.csv`` says which split (train, val, test) each is in."""

    kind: Literal["totalsegmentator"] = "totalsegmentator"
    folder: Path
    """The tree, as unpacked or as ``agg2exp phantom`` writes it."""


class TreeData(TreeScans):
    """The same with their labels."""

    complete: bool = True
    """Whether scans that lack a class are left out, as the paper does."""


class ListedScans(Settings):
    """The images of a MONAI datalist with ``training`` and ``validation``; labels are not needed."""

    kind: Literal["datalist"] = "datalist"
    file: Path


class TrainingSchedule(Settings):
    """What any training is told about its patches and its updates."""

    window_shape: tuple[Positive, Positive, Positive] = (96, 96, 96)
    """Voxels of a training patch."""
    n_steps: Positive = 30_000
    """Updates of the weights."""
    batch_size: Positive = 4
    """Patches per forward pass and device."""
    accumulate: Positive = 1
    """Forward passes per update."""
    learning_rate: Rate = 1e-4
    """Of AdamW at its highest; it falls to 0 along a cosine."""
    warm_up: Whole = 0
    """Updates over which it rises from 0 first."""
    weight_decay: Weight = 1e-5
    """Of AdamW."""
    gradient_norm: Rate | None = None
    """Longer gradients are shortened to it."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of convolutions and products."""
    validate_every: Positive = 1000
    """Updates between two scores of the validation scans."""
    save_every: Positive = 100
    """Updates between two checkpoints."""
    seed: Whole = 0
    """Of weights, patches and augmentation."""


class TrainingSettings(TrainingSchedule):
    """How a segmenter is trained; the defaults are the paper's (appendix B.3)."""

    cross_entropy_weight: Weight = 1.0
    """The loss is Dice plus this times cross-entropy (equation 11)."""
    augmentation: Literal["paper", "gentle"] = "paper"
    """See `agg2exp_core.training.sampling`."""


class PretrainingSettings(TrainingSchedule):
    """How an encoder is pre-trained; the defaults are those of Tang et al. 2022."""

    n_steps: Positive = 450_000
    batch_size: Annotated[Count, Field(ge=2)] = 4
    """Patches per forward pass and device, of which two views each are seen; the other patches are what
    contrastive coding tells a patch from."""
    learning_rate: Rate = 4e-4
    warm_up: Whole = 500
    masked_share: Annotated[Real, Field(gt=0, lt=1)] = 0.3
    """Of a view's voxels that are cut out."""
    inpainting_weight: Weight = 1.0
    """The loss is the sum of the three tasks' losses times these weights."""
    rotation_weight: Weight = 1.0
    contrastive_weight: Weight = 1.0
    temperature: Rate = 0.5
    """Of contrastive coding."""
    n_validation_batches: Positive = 16
    """Batches that the weights are scored on, always the same."""

    @field_validator("window_shape")
    @classmethod
    def _keeps_its_shape_when_turned(cls, shape: Shape3) -> Shape3:
        if shape[0] != shape[1] or any(n % 32 for n in shape):
            raise PydanticCustomError("views", "two equal numbers and a third, each a multiple of 32")
        return shape


class NetworkConfig(Settings):
    """What any configuration says."""

    name: str
    """Of what comes out."""
    network: NetworkSettings
    preprocessing: CTSettings = CTSettings()
    """What the network sees."""

    @property
    def identity(self) -> str:
        """A hash of the configuration and of the weights that it starts from, wherever they lie."""
        told = self.model_dump(mode="json")
        pretrained = self.network.pretrained
        if pretrained is not None:
            told["network"]["pretrained"] = hashlib.sha256(pretrained.read_bytes()).hexdigest()
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _gaussian(windows: Any) -> Any:
    return {"blend": "gaussian", **windows} if isinstance(windows, dict) else windows


def _without_defaults(windows: WindowSettings) -> dict[str, Any]:
    """Leave out what no configuration could say once: part of the identity of trainings."""
    left_out = {("sigma_scale", 0.125), ("grid", "monai")}
    return {key: value for key, value in windows if (key, value) not in left_out}


class TrainingConfig(NetworkConfig):
    """A whole training of a segmenter."""

    windows: Annotated[WindowSettings, BeforeValidator(_gaussian), PlainSerializer(_without_defaults)]
    """Of the finished model; blended by a Gaussian unless they say otherwise."""
    data: Annotated[PhantomData | TreeData, Field(discriminator="kind")]
    """What it learns from, is chosen by, and is tested on."""
    training: TrainingSettings = TrainingSettings()
    """How."""
    class_names: tuple[str, ...] = THORAX_CLASSES
    """The classes in the order of their indices, background first."""

    def description(self) -> dict[str, Any]:
        """Return the model's description for ``model.yaml``."""
        told = self.model_dump(mode="json")
        return {
            "name": self.name,
            "network": {"name": self.network.name, "arguments": self.network.arguments},
            "weights": WEIGHTS_FILE,
            "n_channels": 1,
            **{key: told[key] for key in ("class_names", "windows", "preprocessing")},
        }


class PretrainingConfig(NetworkConfig):
    """A whole pre-training; the encoder is that of the Swin UNETR that will take it over."""

    data: Annotated[PhantomData | TreeScans | ListedScans, Field(discriminator="kind")]
    """What it learns from and is chosen by."""
    training: PretrainingSettings = PretrainingSettings()
    """How."""

    @property
    def encoder_file(self) -> str:
        """The name of the file of the encoder's weights."""
        return f"{self.name}.safetensors"


C = TypeVar("C", bound=NetworkConfig)


def packaged_configs(kind: str = "training") -> dict[str, Path]:
    """Return the files of the configurations of a kind that come with the package, by name."""
    folder = Path(str(files("agg2exp_core.data") / kind))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def read_config(name_or_file: str | Path) -> TrainingConfig:
    """Read the configuration of a training: a packaged one by name, or a YAML file.

    Raises
    ------
    UsageError
        If there is none, or something in it is missing, unknown or out of range.
    """
    return _read(TrainingConfig, packaged_configs(), name_or_file)


def read_pretraining_config(name_or_file: str | Path) -> PretrainingConfig:
    """Read the configuration of a pre-training, as `read_config` does."""
    return _read(PretrainingConfig, packaged_configs("pretraining"), name_or_file)


def _read(kind: type[C], packaged: dict[str, Path], name_or_file: str | Path) -> C:
    path = packaged.get(str(name_or_file), Path(name_or_file))
    if not path.exists():
        raise unknown_name(path, str(name_or_file), packaged, beside="a YAML file")
    return kind.checked(read_yaml(path), path)
