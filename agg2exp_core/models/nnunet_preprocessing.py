"""nnU-Net's preprocessing by nnU-Net's own functions, with the affine carried along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray

from agg2exp_core.errors import ScanError
from agg2exp_core.memory import require_memory
from agg2exp_core.types import Affine, Volume
from agg2exp_core.volumes.plausibility import ANYTHING, HOUNSFIELD, NO_HOUNSFIELD

NORMALIZATIONS = ("CTNormalization", "ZScoreNormalization", "RescaleTo01Normalization", "NoNormalization")
"""Schemes that are honoured: they depend on the scan and the plans alone."""

_BYTES_PER_INPUT_VOXEL = 24
_BYTES_PER_RESAMPLED_VOXEL = 32
"""Peak memory of the resampling, which works in float64."""


@dataclass(frozen=True, eq=False)
class NnunetPreprocessing:
    """Axis order, crop to what is not zero, normalisation, target spacing: nnU-Net's steps in its order.

    Parameters
    ----------
    configuration : nnunetv2's ConfigurationManager
        The configuration of the plans that the network was trained with.
    transpose : tuple of int
        The plans' ``transpose_forward``, over the axes Z, Y, X of a file.
    intensities : mapping
        The plans' intensity properties of the foreground by channel.
    orientation : str or None
        Axis codes that a scan is brought to first, such as ``RAS``; None to take it as it lies in its file,
        as nnU-Net does.
    geometry : {"nifti", "itk", "zooms"}
        Which grid nnU-Net's reader takes a file to lie on, as `agg2exp_core.volumes.read_volume` has it.
    for_another_modality : bool
        Whether the data set names its channels, and none of them CT.
    """

    configuration: Any
    transpose: tuple[int, ...]
    intensities: Mapping[str, Any]
    orientation: str | None
    geometry: str = "nifti"
    for_another_modality: bool = False

    def __call__(self, volume: Volume) -> tuple[torch.Tensor, Affine]:
        """Return the image ``[C, *]`` with nnU-Net's axes, and its affine.

        Raises
        ------
        ScanError
            If the resampled volume is empty or does not fit in memory.
        """
        from nnunetv2.preprocessing.cropping.cropping import crop_to_nonzero
        from nnunetv2.preprocessing.resampling.default_resampling import compute_new_shape

        values, affine = self._in_order(volume)
        values, inside, box = crop_to_nonzero(values)
        affine = affine @ _shift([low for low, _ in box])
        spacing = [float(edge) for edge in np.linalg.norm(affine[:3, :3], axis=0)]
        target = self.configuration.spacing
        shape = compute_new_shape(values.shape[1:], spacing, target)
        if not shape.all():
            raise ScanError(
                volume.path,
                got=f"a scan of {list(volume.grid.shape)} voxels, thinner than one voxel of the model",
                allowed=f"a scan that fills voxels of {', '.join(f'{edge:g}' for edge in target)} mm",
                remedy="leave this scan out",
            )
        require_memory(
            volume.path,
            values.size * _BYTES_PER_INPUT_VOXEL + np.prod(shape, dtype=float) * _BYTES_PER_RESAMPLED_VOXEL,
            f"a field of view of {np.prod(shape, dtype=float):,.0f} voxels at the model's spacing",
        )
        normal = self._normalised(values, inside)
        steps = np.array(values.shape[1:]) / shape  # voxels of the scan per voxel of the image
        image = self.configuration.resampling_fn_data(normal, shape, spacing, target)
        affine = affine @ np.diag([*steps, 1.0]) @ _shift((1 - 1 / steps) / 2)  # outer edges meet
        return torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32)), affine

    def _in_order(self, volume: Volume) -> tuple[NDArray[np.float32], Affine]:
        """Return a copy of the values ``[C, *]`` in the order of the plans' axes, and their affine."""
        values = volume.values if volume.values.ndim == 4 else volume.values[None]  # [C, X, Y, Z]
        affine = volume.grid.affine
        if self.orientation is not None:
            turn = nib.orientations.ornt_transform(
                nib.orientations.io_orientation(affine), nib.orientations.axcodes2ornt(self.orientation)
            )
            affine = affine @ nib.orientations.inv_ornt_aff(turn, volume.grid.shape)
            values = np.stack([nib.orientations.apply_orientation(channel, turn) for channel in values])
        axes = [2 - axis for axis in self.transpose]  # nnU-Net reads files as [Z, Y, X]
        places = [0, *(axis + 1 for axis in axes)]
        ordered = np.array(values.transpose(places), dtype=np.float32, order="C")
        return ordered, np.asarray(affine[:, [*axes, 3]], dtype=np.float64)

    def _normalised(self, values: NDArray[np.float32], inside: NDArray[Any]) -> NDArray[np.float32]:
        from nnunetv2.preprocessing.normalization import default_normalization_schemes as schemes

        for c, name in enumerate(self.configuration.normalization_schemes[: len(values)]):
            scheme = getattr(schemes, name)(
                use_mask_for_norm=self.configuration.use_mask_for_norm[c],
                intensityproperties=self.intensities[str(c)],
            )
            values[c] = scheme.run(values[c], inside[0])
        return values

    @property
    def expects(self) -> tuple[str, ...]:
        """What the scans are to hold, by channel."""
        expected = {"CTNormalization": HOUNSFIELD, "ZScoreNormalization": NO_HOUNSFIELD}
        return tuple(expected.get(name, ANYTHING) for name in self.configuration.normalization_schemes)

    def describe(self) -> Mapping[str, Any]:
        """Return JSON-ready settings; equal settings mean equal results."""
        keys = (
            "spacing",
            "normalization_schemes",
            "use_mask_for_norm",
            "resampling_fn_data",
            "resampling_fn_data_kwargs",
        )
        return {
            "kind": "nnunet",
            "orientation": self.orientation,
            "transpose": list(self.transpose),
            "intensities": self.intensities,
            **{key: self.configuration.configuration[key] for key in keys},
        }


def _shift(by: Sequence[float] | NDArray[np.float64]) -> Affine:
    shift = np.eye(4)
    shift[:3, 3] = by
    return shift
