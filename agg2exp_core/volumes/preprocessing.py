"""From a volume to a network's input: the paper's for CT, a bundle's own transforms for other models."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.compose import Compose
from monai.transforms.intensity.array import ScaleIntensityRange
from monai.transforms.intensity.dictionary import NormalizeIntensityd, ScaleIntensityRanged
from monai.transforms.io.array import LoadImage
from monai.transforms.io.dictionary import LoadImaged
from monai.transforms.spatial.array import Orientation, Spacing
from monai.transforms.spatial.dictionary import Spacingd
from monai.transforms.transform import LazyTransform, MapTransform, Randomizable
from monai.transforms.utility.array import EnsureChannelFirst
from monai.transforms.utility.dictionary import EnsureChannelFirstd

from agg2exp_core.errors import ModelError, ScanError, out_of_range
from agg2exp_core.memory import require_memory
from agg2exp_core.types import Affine, Volume
from agg2exp_core.volumes.plausibility import ANYTHING, HOUNSFIELD, NO_HOUNSFIELD

IMAGE = "image"
"""The key under which a bundle's transforms find the scan."""
MOST_OF_A_MESSAGE = 200
"""Characters of a foreign error that are repeated."""
BYTES_PER_INPUT_VOXEL = 8
BYTES_PER_RESAMPLED_VOXEL = 64
"""Peak memory of MONAI's resampling in float64: measured 5 and 57, rounded up."""


@dataclass(frozen=True)
class CTPreprocessing:
    """The paper's preprocessing for CT (section 4.1): RAS, isotropic, clipped HU scaled to [0, 1].

    Parameters
    ----------
    spacing_mm : float
        Edge of a voxel after linear resampling.
    hu_range : tuple of float
        Hounsfield units that become 0 and 1; what lies beyond is clipped.

    Raises
    ------
    UsageError
        If the spacing is not positive or the range is empty.
    """

    spacing_mm: float = 1.5
    hu_range: tuple[float, float] = (-1024.0, 1024.0)
    expects: ClassVar[tuple[str, ...]] = (HOUNSFIELD,)

    def __post_init__(self) -> None:
        if not (np.isfinite(self.spacing_mm) and self.spacing_mm > 0):
            raise out_of_range("spacing_mm", self.spacing_mm, "a positive number")
        if not (np.isfinite(self.hu_range).all() and self.hu_range[0] < self.hu_range[1]):
            raise out_of_range("hu_range", self.hu_range, "low < high")

    def __call__(self, volume: Volume) -> tuple[torch.Tensor, Affine]:
        """Return the image ``[C, X, Y, Z]`` and its affine.

        Raises
        ------
        ScanError
            If the resampled volume does not fit in memory.
        """
        _require_memory_to_resample(volume, [self.spacing_mm] * 3)
        transforms = (
            Orientation("RAS", labels=None),
            Spacing([self.spacing_mm] * 3, mode="bilinear", padding_mode="border"),
            ScaleIntensityRange(*self.hu_range, b_min=0.0, b_max=1.0, clip=True),
        )
        image: Any = _as_image(volume)
        for transform in transforms:
            image = transform(image)
        return _image_and_affine(image)

    def describe(self) -> Mapping[str, Any]:
        """Return JSON-ready settings; equal settings mean equal results."""
        return {
            "kind": "ct",
            "orientation": "RAS",
            "interpolation": "linear",
            "spacing_mm": self.spacing_mm,
            "hu_range": list(self.hu_range),
        }


class MonaiPreprocessing:
    """The deterministic MONAI transforms of a model bundle.

    Parameters
    ----------
    transforms : Compose or sequence of callables
        Dictionary transforms that need the key ``image`` alone. Those that load the file or put its channel
        first are left out: the volume comes read, as a MetaTensor ``[C, X, Y, Z]`` with its affine.
    description : mapping
        JSON-ready settings that tell these transforms from others, such as their part of the bundle's
        configuration.
    modality : str
        Of the scans that the model is for, such as ``CT`` or ``MR``; empty where nothing says so.

    Raises
    ------
    ModelError
        If a transform is random, works on no dictionary, or needs another key.
    """

    def __init__(
        self,
        transforms: Compose | Sequence[Callable[[Any], Any]],
        description: Mapping[str, Any],
        modality: str = "",
    ) -> None:
        steps = Compose(transforms).flatten().transforms
        loaders = (LoadImage, LoadImaged, EnsureChannelFirst, EnsureChannelFirstd)
        self._transforms = tuple(step for step in steps if not isinstance(step, loaders))
        self._description = dict(description)
        self._modality = modality.upper()
        for transform in self._transforms:
            _check_transform(transform)

    def __call__(self, volume: Volume) -> tuple[torch.Tensor, Affine]:
        """Return the image ``[C, X, Y, Z]`` and its affine.

        Raises
        ------
        ScanError
            If a transform fails on this volume, or its result does not fit in memory.
        ModelError
            If the transforms return no image with an affine.
        """
        data: Any = {IMAGE: _as_image(volume)}
        for transform in self._transforms:
            if isinstance(transform, Spacingd):
                _require_memory_to_resample(volume, transform.spacing_transform.pixdim.tolist())
            try:
                data = transform(data, **_options(transform))
            except Exception as error:
                raise ScanError(
                    volume.path,
                    got=f"a scan on which the model's transform {_name(transform)} fails "
                    f"({type(error).__name__}: {str(error)[:MOST_OF_A_MESSAGE]})",
                    allowed="a scan like those that the model was trained on",
                    remedy="check its orientation, size and intensities, or the bundle's preprocessing",
                ) from error
        image = data.get(IMAGE) if isinstance(data, Mapping) else None
        if not isinstance(image, MetaTensor) or image.ndim != 4:
            raise ModelError(
                "preprocessing",
                got=f"{type(image).__name__} {list(getattr(image, 'shape', []))} after the transforms",
                allowed="a MetaTensor [C, X, Y, Z], which carries its affine",
                remedy="remove the transforms that drop the metadata or the channel",
            )
        return _image_and_affine(image)

    def describe(self) -> Mapping[str, Any]:
        """Return JSON-ready settings; equal settings mean equal results."""
        return {"kind": "monai", **self._description}

    @property
    def for_another_modality(self) -> bool:
        """Whether the model's files say that it is for another modality than CT."""
        return bool(self._modality) and self._modality != "CT"

    @property
    def expects(self) -> tuple[str, ...]:
        """What the scans are to hold, as the modality or the first transform of intensities says."""
        if self._modality:
            return (HOUNSFIELD if self._modality == "CT" else NO_HOUNSFIELD,)
        for transform in self._transforms:
            if isinstance(transform, ScaleIntensityRanged):
                return (HOUNSFIELD if float(transform.scaler.a_min) < 0 else ANYTHING,)
            if isinstance(transform, NormalizeIntensityd):
                return (ANYTHING if transform.normalizer.subtrahend is not None else NO_HOUNSFIELD,)
        return (ANYTHING,)


def _check_transform(transform: Callable[[Any], Any]) -> None:
    if isinstance(transform, Randomizable):
        raise _unfit(f"the random transform {_name(transform)}", "transforms that always give the same image")
    keys = [str(key) for key in getattr(transform, "keys", ())]
    needs_others = set(keys) - {IMAGE} and not getattr(transform, "allow_missing_keys", False)
    if not isinstance(transform, MapTransform) or needs_others:
        on = ", ".join(keys) if keys else "no named key"
        allowed = f"dictionary transforms of the key '{IMAGE}' alone"
        raise _unfit(f"the transform {_name(transform)} on {on}", allowed)


def _unfit(got: str, allowed: str) -> ModelError:
    return ModelError(
        "preprocessing",
        got=got,
        allowed=allowed,
        remedy="use the bundle's inference configuration, with transforms in their dictionary form",
    )


def _options(transform: object) -> dict[str, Any]:
    return {"lazy": False} if isinstance(transform, LazyTransform) else {}


def _name(transform: object) -> str:
    return type(transform).__name__


def _as_image(volume: Volume) -> MetaTensor:
    """Return a copy of the volume as MONAI's loader would, ``[C, X, Y, Z]``, without its file's name."""
    affine = torch.as_tensor(volume.grid.affine, dtype=torch.float64)
    meta = {
        "original_affine": affine.numpy().copy(),
        "spatial_shape": np.asarray(volume.grid.shape),
        "original_channel_dim": 0,
        "space": "RAS",
    }
    channels = volume.values if volume.values.ndim == 4 else volume.values[None]
    values = np.array(channels, dtype=np.float32, order="C")  # [C, X, Y, Z]
    return MetaTensor(torch.from_numpy(values), affine=affine, meta=meta)


def _image_and_affine(image: MetaTensor) -> tuple[torch.Tensor, Affine]:
    affine = np.asarray(image.affine.cpu().numpy(), dtype=np.float64)
    return image.as_tensor().detach().to("cpu", torch.float32).contiguous(), affine


def _require_memory_to_resample(volume: Volume, spacing_mm: Sequence[float]) -> None:
    """Refuse a spacing at which the volume does not fit; what is not positive keeps an axis."""
    given = [float(s) for s in spacing_mm]
    wanted = (given + given[-1:] * 3)[:3]
    n_in = n_out = float(volume.values.size // math.prod(volume.grid.shape))
    for n, mm_in, mm_out in zip(volume.grid.shape, volume.grid.spacing_mm, wanted, strict=True):
        n_in *= n
        n_out *= n * mm_in / mm_out if mm_out > 0 else n
    require_memory(
        volume.path,
        n_in * BYTES_PER_INPUT_VOXEL + n_out * BYTES_PER_RESAMPLED_VOXEL,
        f"a field of view of {n_out:,.0f} voxels at the model's spacing",
    )
