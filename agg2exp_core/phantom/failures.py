"""What goes wrong between patient and model: planted in a finished scan, with a severity.

The truth stays that of the undisturbed body.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, shift

from agg2exp_core.labels import THORAX_CLASSES
from agg2exp_core.phantom.case import Phantom
from agg2exp_core.types import Grid

LOW_HU, HIGH_HU = -1024, 3071


def plant(phantom: Phantom, failure: str, severity: float, rng: np.random.Generator) -> Phantom:
    """Return the phantom with a failure of its scan; severities lie above 0 and go up to 1."""
    return _PLANTED[failure](phantom, severity, rng)


def _noise(phantom: Phantom, severity: float, rng: np.random.Generator) -> Phantom:
    """Add the noise and the horizontal streaks of too low a dose: up to 300 HU."""
    spread = np.array([0.5, 0.5, 0.5]), np.array([5.0, 0.4, 0.4])
    parts = [gaussian_filter(rng.standard_normal(phantom.grid.shape, np.float32), sd) for sd in spread]
    noise = sum(part / part.std() for part in parts) / np.sqrt(2)
    return _with_hu(phantom, phantom.hu + 300 * severity * noise)


def _motion(phantom: Phantom, severity: float, rng: np.random.Generator) -> Phantom:
    """Let the patient breathe: slices are displaced, and each shows two phases; up to 18 mm."""
    reach = 18 * severity / phantom.grid.spacing_mm[1]
    phase = rng.uniform(0, 2 * np.pi)
    period = 60 / phantom.grid.spacing_mm[2]
    moved = np.empty(phantom.grid.shape, np.float32)
    for k in range(phantom.grid.shape[2]):
        plane = phantom.hu[:, :, k].astype(np.float32)
        way = reach * np.sin(2 * np.pi * k / period + phase)
        phases = [shift(plane, (0, step), order=1, mode="nearest") for step in (way, way - 0.6 * reach)]
        moved[:, :, k] = sum(phases) / 2
    return _with_hu(phantom, moved)


def _metal(phantom: Phantom, severity: float, rng: np.random.Generator) -> Phantom:
    """Put metal of 6 to 16 mm radius into the spine, with streaks of up to 1200 HU around it."""
    spine = np.argwhere(phantom.labels == THORAX_CLASSES.index("vertebraes"))
    middle = np.median(spine, axis=0) + np.array([0, 0, rng.integers(-5, 6)])
    at = np.ogrid[tuple(slice(n) for n in phantom.grid.shape)]
    dx, dy, dz = ((i - m) * mm for i, m, mm in zip(at, middle, phantom.grid.spacing_mm, strict=True))
    radius, angle = np.sqrt(dx**2 + dy**2), np.arctan2(dy, dx)
    half_height = 20 + 40 * severity
    # streaks fade with the distance from the metal, and above and below it
    near = np.exp(-radius / 90) / (1 + np.exp((np.abs(dz) - half_height) / 4))
    streaks = np.cos(7 * angle + rng.uniform(0, 6)) + 0.6 * np.cos(13 * angle + rng.uniform(0, 6))
    hu = phantom.hu + 750 * severity * near * streaks
    rod = (radius < 6 + 10 * severity) & (np.abs(dz) < half_height)
    return _with_hu(phantom, np.where(rod, HIGH_HU, hu))


def _cut_field_of_view(phantom: Phantom, severity: float, rng: np.random.Generator) -> Phantom:
    """Lose up to half of the slices, at the top or at the bottom."""
    n = phantom.grid.shape[2]
    n_lost = round(0.5 * severity * n)
    kept = slice(0, n - n_lost) if rng.random() < 0.5 else slice(n_lost, n)
    affine = phantom.grid.affine.copy()
    affine[:3, 3] += affine[:3, 2] * kept.start
    x, y, _ = phantom.grid.shape
    return replace(
        phantom,
        hu=np.ascontiguousarray(phantom.hu[:, :, kept]),
        labels=np.ascontiguousarray(phantom.labels[:, :, kept]),
        grid=Grid((x, y, kept.stop - kept.start), affine),
        pathologies={name: mask[:, :, kept] for name, mask in phantom.pathologies.items()},
    )


def _wrong_spacing(phantom: Phantom, severity: float, rng: np.random.Generator) -> Phantom:
    """Let the header give slices up to twice as far apart as they are."""
    affine = phantom.grid.affine.copy()
    affine[:3, 2] *= 1 + severity
    return replace(phantom, grid=Grid(phantom.grid.shape, affine))


def _shifted_hu(phantom: Phantom, severity: float, rng: np.random.Generator) -> Phantom:
    """Leave out up to the whole of the usual rescale intercept: values are up to 1024 too high."""
    return _with_hu(phantom, phantom.hu.astype(np.int32) + round(1024 * severity))


_PLANTED: dict[str, Callable[[Phantom, float, np.random.Generator], Phantom]] = {
    "noise": _noise,
    "motion": _motion,
    "metal": _metal,
    "cut_field_of_view": _cut_field_of_view,
    "wrong_spacing": _wrong_spacing,
    "shifted_hu": _shifted_hu,
    "collapsed_lobe": lambda phantom, severity, rng: phantom,  # drawn with the body
}


def _with_hu(phantom: Phantom, hu: NDArray[np.floating] | NDArray[np.integer]) -> Phantom:
    return replace(phantom, hu=np.clip(np.rint(hu), LOW_HU, HIGH_HU).astype(np.int16))
