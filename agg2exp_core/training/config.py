"""What a training is told: a model, its data, its schedule; YAML, checked where it comes in."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agg2exp_core.errors import UsageError
from agg2exp_core.labels import THORAX_CLASSES
from agg2exp_core.types import Shape3
from agg2exp_core.volumes import CTPreprocessing

WEIGHTS_FILE = "model.safetensors"
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]


class Section(BaseModel):
    """A part of a configuration: nothing unknown in it, nothing changed later."""

    model_config = ConfigDict(frozen=True, extra="forbid")


S = TypeVar("S", bound=Section)


class NetworkSettings(Section):
    """A network of `monai.networks.nets` by name, its arguments, and weights to start from.

    `pretrained` is a file of a Swin encoder's weights, such as the published self-supervised ones.
    """

    name: str
    arguments: dict[str, Any] = {}
    pretrained: Path | None = None


class WindowSettings(Section):
    """The window grid of the finished model."""

    shape: Shape3
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.25
    blend: Literal["constant", "gaussian"] = "gaussian"


class PreprocessingSettings(Section):
    """How a scan becomes the network's input: voxels in mm, HU clipped and scaled to [0, 1]."""

    kind: Literal["ct"] = "ct"
    spacing_mm: Annotated[float, Field(gt=0)] = 1.5
    hu_range: tuple[float, float] = (-1024.0, 1024.0)

    def build(self) -> CTPreprocessing:
        """Return what the settings describe."""
        return CTPreprocessing(self.spacing_mm, self.hu_range)


class SeedRange(Section):
    """Phantoms of consecutive seeds."""

    first: Seed
    n: Count

    @property
    def seeds(self) -> range:
        """The seeds."""
        return range(self.first, self.first + self.n)


class PhantomData(Section):
    """Phantoms made on the spot."""

    kind: Literal["phantoms"] = "phantoms"
    training: SeedRange
    validation: SeedRange
    test: SeedRange | None = None


class TreeData(Section):
    """Scans in TotalSegmentator's tree; ``meta.csv`` says which split (train, val, test) each is in.

    Parameters
    ----------
    folder : Path
        The tree, as unpacked or as ``agg2exp phantom`` writes it.
    complete : bool
        Whether scans that lack a class are left out, as the paper does.
    """

    kind: Literal["totalsegmentator"] = "totalsegmentator"
    folder: Path
    complete: bool = True


class Schedule(Section):
    """What any training is told about its patches and its updates.

    Parameters
    ----------
    window_shape : tuple of int
        Voxels of a training patch.
    n_steps : int
        Updates of the weights.
    batch_size : int
        Patches per forward pass and device.
    accumulate : int
        Forward passes per update.
    learning_rate : float
        Of AdamW at its highest; it falls to 0 along a cosine.
    warm_up : int
        Updates over which it rises from 0 first.
    weight_decay : float
        Of AdamW.
    gradient_norm : float, optional
        Longer gradients are shortened to it.
    precision : {"float32", "bfloat16"}
        Of convolutions and products.
    validate_every : int
        Updates between two scores of the validation scans.
    save_every : int
        Updates between two checkpoints.
    seed : int
        Of weights, patches and augmentation.
    """

    window_shape: tuple[Count, Count, Count] = (96, 96, 96)
    n_steps: Count = 30_000
    batch_size: Count = 4
    accumulate: Count = 1
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    warm_up: Annotated[int, Field(ge=0)] = 0
    weight_decay: Annotated[float, Field(ge=0)] = 1e-5
    gradient_norm: Annotated[float, Field(gt=0)] | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    validate_every: Count = 1000
    save_every: Count = 100
    seed: Seed = 0


class TrainingSettings(Schedule):
    """How a segmenter is trained; the defaults are the paper's (appendix B.3).

    Parameters
    ----------
    cross_entropy_weight : float
        The loss is Dice plus this times cross-entropy (equation 11).
    augmentation : {"paper", "gentle"}
        See `agg2exp_core.training.sampling`.
    **schedule
        See `Schedule`.
    """

    cross_entropy_weight: Annotated[float, Field(ge=0)] = 1.0
    augmentation: Literal["paper", "gentle"] = "paper"


class NetworkConfig(Section):
    """What any configuration says.

    Parameters
    ----------
    name : str
        Of what comes out.
    network, preprocessing
        The network and what it sees.
    """

    name: str
    network: NetworkSettings
    preprocessing: PreprocessingSettings = PreprocessingSettings()


class TrainingConfig(NetworkConfig):
    """A whole training of a segmenter.

    Parameters
    ----------
    windows : WindowSettings
        Of the finished model.
    data : PhantomData or TreeData
        What it learns from, is chosen by, and is tested on.
    training : TrainingSettings
        How.
    class_names : tuple of str
        The classes in the order of their indices, background first.
    **network
        See `NetworkConfig`.
    """

    windows: WindowSettings
    data: Annotated[PhantomData | TreeData, Field(discriminator="kind")]
    training: TrainingSettings = TrainingSettings()
    class_names: tuple[str, ...] = THORAX_CLASSES

    def description(self) -> dict[str, Any]:
        """Return the model's description for ``model.yaml``."""
        return {
            "name": self.name,
            "network": {"name": self.network.name, "arguments": self.network.arguments},
            "weights": WEIGHTS_FILE,
            "n_channels": 1,
            "class_names": list(self.class_names),
            "windows": self.windows.model_dump(mode="json"),
            "preprocessing": self.preprocessing.model_dump(mode="json"),
        }


def packaged_configs(kind: str = "training") -> dict[str, Path]:
    """Return the files of the configurations of a kind that come with the package, by name."""
    folder = Path(str(files("agg2exp_core.data") / kind))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def read_config(name_or_file: str | Path) -> TrainingConfig:
    """Read a configuration: a packaged one by name, or a YAML file.

    Raises
    ------
    UsageError
        If there is none, or something in it is missing, unknown or out of range.
    """
    return read_section(TrainingConfig, packaged_configs(), name_or_file)


def read_section(section: type[S], packaged: Mapping[str, Path], name_or_file: str | Path) -> S:
    """Read a section from a packaged file by name, or from a YAML file.

    Raises
    ------
    UsageError
        If there is none, or something in it is missing, unknown or out of range.
    """
    path = packaged.get(str(name_or_file), Path(name_or_file))
    try:
        return section.model_validate(yaml.safe_load(path.read_text()))
    except OSError as error:
        raise UsageError(
            path,
            got=f"nothing that can be read ({error.strerror})",
            allowed=f"a YAML file, or one of {', '.join(packaged)}",
            remedy="check the path",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(
            path, got="text that is not YAML", allowed="a mapping of settings", remedy="correct the file"
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UsageError(
            path,
            got=f"{'.'.join(str(part) for part in first['loc']) or 'content'}: {first['input']!r}",
            allowed=first["msg"],
            remedy="correct the configuration (docs/training.md lists the settings)",
        ) from error
