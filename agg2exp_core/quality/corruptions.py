"""What goes wrong with scans, planted in good ones, so that a model fails on them by known amounts.

Each takes a volume, the labels that should be found in it, a severity above 0 and up to 1, and random
numbers. Intensities are changed in units of the scan's own standard deviation (about 450 HU in a thorax CT),
so that the catalogue serves any modality. Where voxels are lost, their labels are lost with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from monai.transforms import AdjustContrast, GaussianSmooth
from numpy.typing import NDArray
from scipy import ndimage

from agg2exp_core.errors import out_of_range, unknown_name
from agg2exp_core.types import Grid, LabelVolume, Volume

Corrupted = tuple[Volume, LabelVolume]
Corruption = Callable[[Volume, LabelVolume, float, np.random.Generator], Corrupted]


def corrupt(
    volume: Volume, labels: LabelVolume, name: str, severity: float, rng: np.random.Generator
) -> Corrupted:
    """Return a volume with a corruption, and the labels that should be found in it.

    Parameters
    ----------
    volume : Volume
        A scan ``[X, Y, Z]`` or ``[C, X, Y, Z]``.
    labels : ndarray of integers, shape [X, Y, Z]
        What should be found in it.
    name : str
        One of `CORRUPTIONS`.
    severity : float
        Above 0, up to 1.
    rng : Generator
        Of what is random.

    Raises
    ------
    UsageError
        If there is no such corruption, or the severity is none.
    """
    if name not in CORRUPTIONS:
        raise unknown_name("corruption", name, CORRUPTIONS)
    if not 0 < severity <= 1:
        raise out_of_range("severity", severity, "above 0, up to 1")
    return CORRUPTIONS[name](volume, labels, severity, rng)


def _noise(volume: Volume, labels: LabelVolume, severity: float, rng: np.random.Generator) -> Corrupted:
    """Add noise as of too low a dose: half white, half as fine as the blur of a reconstruction."""
    white, fine = (rng.standard_normal(volume.values.shape, np.float32) for _ in range(2))
    fine = ndimage.gaussian_filter(fine, 0.7)
    noise = (white + fine / fine.std()) / np.sqrt(2)
    return _with(volume, volume.values + 0.6 * severity * _spread(volume) * noise), labels


def _blur(volume: Volume, labels: LabelVolume, severity: float, rng: np.random.Generator) -> Corrupted:
    """Smooth by a Gaussian of up to 8 mm."""
    smooth = GaussianSmooth([8 * severity / mm for mm in volume.grid.spacing_mm])
    return _with(volume, _by_channel(smooth, volume)), labels


def _motion(volume: Volume, labels: LabelVolume, severity: float, rng: np.random.Generator) -> Corrupted:
    """Show three places of a patient who moves by up to 24 mm along the second axis."""
    reach = 24 * severity / volume.grid.spacing_mm[1]
    still = (0,) * (volume.values.ndim - 2)
    moved = [
        ndimage.shift(volume.values, (*still, step, 0), order=1, mode="nearest")
        for step in (-reach / 2, 0, reach / 2)
    ]
    return _with(volume, np.mean(moved, axis=0)), labels


def _cut_field_of_view(
    volume: Volume, labels: LabelVolume, severity: float, rng: np.random.Generator
) -> Corrupted:
    """Lose up to half of the slices at one end."""
    n = labels.shape[2]
    n_lost = min(round(0.5 * severity * n), n - 1)
    first = n_lost if rng.random() < 0.5 else 0
    return _keep_slices(volume, labels, np.arange(first, first + n - n_lost))


def _lost_slices(volume: Volume, labels: LabelVolume, severity: float, rng: np.random.Generator) -> Corrupted:
    """Lose a block of up to a third of the slices, with nothing to tell of the gap."""
    n = labels.shape[2]
    n_lost = min(round(severity * n / 3), n - 1)
    first = int(rng.integers(0, n - n_lost + 1))
    return _keep_slices(volume, labels, np.delete(np.arange(n), slice(first, first + n_lost)))


def _shift(volume: Volume, labels: LabelVolume, severity: float, rng: np.random.Generator) -> Corrupted:
    """Raise or lower all values by up to 1.2 standard deviations: a wrong rescale intercept."""
    sign = 1 if rng.random() < 0.5 else -1
    return _with(volume, volume.values + sign * 1.2 * severity * _spread(volume)), labels


def _scale(volume: Volume, labels: LabelVolume, severity: float, rng: np.random.Generator) -> Corrupted:
    """Stretch or shrink all values by a factor of up to 2: a wrong rescale slope."""
    factor = (1 + severity) ** (1 if rng.random() < 0.5 else -1)
    return _with(volume, volume.values * factor), labels


def _contrast(volume: Volume, labels: LabelVolume, severity: float, rng: np.random.Generator) -> Corrupted:
    """Bend the range of values by a gamma of up to 2 or down to 1/2."""
    gamma = (1 + severity) ** (1 if rng.random() < 0.5 else -1)
    return _with(volume, _by_channel(AdjustContrast(gamma), volume)), labels


def _wrong_spacing(
    volume: Volume, labels: LabelVolume, severity: float, rng: np.random.Generator
) -> Corrupted:
    """Let the header give slices up to twice, or down to half, as far apart as they are."""
    affine = volume.grid.affine.copy()
    affine[:3, 2] *= (1 + severity) ** (1 if rng.random() < 0.5 else -1)
    return replace(volume, grid=Grid(volume.grid.shape, affine)), labels


def _streaks(volume: Volume, labels: LabelVolume, severity: float, rng: np.random.Generator) -> Corrupted:
    """Let something dense send streaks of up to two standard deviations through a third of the slices."""
    at = np.ogrid[tuple(slice(n) for n in labels.shape)]
    middle = [rng.uniform(0.35, 0.65) * n for n in labels.shape]
    dx, dy, dz = ((i - m) * mm for i, m, mm in zip(at, middle, volume.grid.spacing_mm, strict=True))
    radius, angle = np.sqrt(dx**2 + dy**2), np.arctan2(dy, dx)
    half_height = labels.shape[2] * volume.grid.spacing_mm[2] / 6
    near = np.exp(-radius / 100) * (np.abs(dz) < half_height)
    streaks = np.cos(9 * angle + rng.uniform(0, 2 * np.pi)) + np.cos(15 * angle + rng.uniform(0, 2 * np.pi))
    return _with(volume, volume.values + severity * _spread(volume) * near * streaks), labels


CORRUPTIONS: Mapping[str, Corruption] = {
    "noise": _noise,
    "blur": _blur,
    "motion": _motion,
    "cut_field_of_view": _cut_field_of_view,
    "lost_slices": _lost_slices,
    "shift": _shift,
    "scale": _scale,
    "contrast": _contrast,
    "wrong_spacing": _wrong_spacing,
    "streaks": _streaks,
}
"""By name."""


def _with(volume: Volume, values: NDArray[Any]) -> Volume:
    return replace(volume, values=np.ascontiguousarray(values, np.float32))


def _spread(volume: Volume) -> float:
    return float(volume.values.std(dtype=np.float64))


def _by_channel(transform: Callable[[torch.Tensor], Any], volume: Volume) -> NDArray[Any]:
    """Return what a transform of MONAI makes of each channel ``[X, Y, Z]``."""
    channels = volume.values.reshape(-1, *volume.grid.shape)
    changed = [np.asarray(transform(torch.from_numpy(np.array(one))[None]))[0] for one in channels]
    return np.stack(changed).reshape(volume.values.shape)


def _keep_slices(volume: Volume, labels: LabelVolume, kept: NDArray[Any]) -> Corrupted:
    affine = volume.grid.affine.copy()
    affine[:3, 3] += affine[:3, 2] * kept[0]
    x, y, _ = volume.grid.shape
    cut = replace(volume, grid=Grid((x, y, len(kept)), affine))
    return _with(cut, volume.values[..., kept]), np.ascontiguousarray(labels[..., kept])
