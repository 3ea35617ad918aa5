"""Disease painted into a finished body: fluid around a lung, consolidated lung, a collapsed lobe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from agg2exp_core.labels import BACKGROUND, LUNG_LOBES, THORAX_CLASSES
from agg2exp_core.phantom.canvas import Canvas, texture
from agg2exp_core.phantom.patient import Patient
from agg2exp_core.phantom.shapes import FAR_MM, Field, ellipsoid, intersection
from agg2exp_core.types import Mask

COLLAPSING = "lung_lower_lobe_left"
FLUID_HU, SOLID_HU = 12.0, 38.0


def draw_pathologies(
    canvas: Canvas, severities: Mapping[str, float], rng: np.random.Generator
) -> dict[str, Mask]:
    """Paint pathologies by name with their severities; return their masks.

    Fluid lies at the back of one side, as in a patient on the back, and is no lung any more: its label
    is background. Consolidated lung remains part of its lobe.
    """
    masks = {}
    for name in sorted(severities):
        draw = _effusion if name == "pleural_effusion" else _consolidation
        masks[name] = draw(canvas, severities[name], rng)
    return masks


def _effusion(canvas: Canvas, severity: float, rng: np.random.Generator) -> Mask:
    space = canvas.space
    side = str(rng.choice(["left", "right"]))
    lung = _mask(canvas, *(name for name in LUNG_LOBES if name.endswith(side)))
    level_mm = -80 + 75 * severity
    surface = space.y - np.float32(level_mm) + 0.15 * (space.z + 60) - 0.1 * (np.abs(space.x) - 60)
    fluid = intersection(surface.astype(np.float32), _within(lung))
    inside = fluid < 0
    canvas.paint(fluid, FLUID_HU, BACKGROUND)
    return np.asarray(inside)


def _consolidation(canvas: Canvas, severity: float, rng: np.random.Generator) -> Mask:
    space = canvas.space
    lobe = _mask(canvas, str(rng.choice(list(LUNG_LOBES))))
    voxels = np.argwhere(lobe)
    to_middle = np.linalg.norm(voxels - voxels.mean(axis=0), axis=1)
    inner = voxels[to_middle <= np.median(to_middle)]
    centre = canvas.space.index_to_body @ [*rng.choice(inner), 1]
    x, y, z = (float(v) for v in centre[:3])
    radius = 14 + 40 * severity
    grain = texture(space, rng, 24)
    blob = ellipsoid(space, (x, y, z), (radius, radius, 1.2 * radius)) + 5 * grain
    solid = intersection(blob.astype(np.float32), _within(lobe))
    bronchi = np.where(grain > 1.6, -350, SOLID_HU + 12 * grain)  # air in them stays
    canvas.paint(solid, bronchi.astype(np.float32))
    return np.asarray(solid < 0)


def collapsing(patient: Patient, severity: float) -> Patient:
    """Return the patient whose left lower lobe has shrunk, which draws the heart to its side."""
    left, right, horizontal = patient.fissures
    x, y, z = patient.heart_shift
    return replace(
        patient, fissures=(left - 55 * severity, right, horizontal), heart_shift=(x - 8 * severity, y, z)
    )


def consolidate_collapsed(canvas: Canvas, severity: float) -> None:
    """Take the air out of the lobe that collapses."""
    lobe = _mask(canvas, COLLAPSING)
    canvas.hu[lobe] += np.float32(severity) * (np.float32(SOLID_HU) - canvas.hu[lobe])


def _mask(canvas: Canvas, *names: str) -> Mask:
    return np.isin(canvas.labels, [THORAX_CLASSES.index(name) for name in names])


def _within(mask: Mask) -> Field:
    """Return a shape that cuts others to the mask's voxels."""
    return np.where(mask, -FAR_MM, FAR_MM).astype(np.float32)
