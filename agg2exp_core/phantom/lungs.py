"""Lungs: five lobes, their fissures and vessels, around the mediastinum."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agg2exp_core.phantom.canvas import Canvas, texture
from agg2exp_core.phantom.frame import CAGE, body_radii, spine_centre
from agg2exp_core.phantom.mediastinum import aorta_line
from agg2exp_core.phantom.patient import Patient
from agg2exp_core.phantom.shapes import Field, Space, curve, ellipsoid, intersection, profile, tube, union
from agg2exp_core.phantom.trunk import diaphragm


def draw_lungs(canvas: Canvas, patient: Patient, heart: Field, rng: np.random.Generator) -> None:
    """Paint five lobes with fissures and vessels around the mediastinum."""
    space = canvas.space
    lungs = intersection(
        CAGE.distance(space) + 7.5,
        diaphragm(space, patient) + 1 - space.z,
        -_mediastinum(space, patient, heart),
    )
    left_shift, right_shift, horizontal_shift = patient.fissures
    bow = 5 * np.cos(space.x / 30)
    oblique_left = space.z + 1.12 * patient.fissure_slope * space.y + 50 - left_shift - bow
    oblique_right = space.z + 1.02 * patient.fissure_slope * space.y + 55 - right_shift - bow
    horizontal = space.z + 27 + 0.10 * (space.x - 60) + 0.12 * space.y - horizontal_shift - bow
    left, right = intersection(lungs, space.x), intersection(lungs, -space.x)
    lobes = {
        "lung_upper_lobe_left": intersection(left, -oblique_left),
        "lung_lower_lobe_left": intersection(left, oblique_left),
        "lung_upper_lobe_right": intersection(right, -oblique_right, -horizontal),
        "lung_middle_lobe_right": intersection(right, -oblique_right, horizontal),
        "lung_lower_lobe_right": intersection(right, oblique_right),
    }
    dependent = profile(space.y, ((-95, 55), (-30, 8), (90, -15)))
    tissue = patient.lung_hu + dependent + 14 * texture(space, rng, 26)
    canvas.paint(lungs, tissue)
    for name, lobe in lobes.items():
        canvas.paint(intersection(lobe, lungs), tissue, name)
    fissures = [
        intersection(left, np.abs(oblique_left) * 0.68 - np.float32(0.7)),
        intersection(right, np.abs(oblique_right) * 0.70 - np.float32(0.7)),
        intersection(right, -oblique_right, np.abs(horizontal) - np.float32(0.7)),
    ]
    canvas.paint(union(*fissures), -250)
    vessels = tube(space, _vessel_lines(patient, rng), reach_mm=space.spacing_mm)
    canvas.paint(intersection(vessels, lungs + 2), 0.5 * patient.blood_hu + 30)


def _mediastinum(space: Space, patient: Patient, heart: Field) -> Field:
    half = profile(space.y, ((-95, 14), (-62, 19), (-35, 21), (5, 24), (40, 22), (62, 8), (95, 4)))
    right = profile(space.z, ((110, -9), (75, -5), (40, 4), (15, 6), (-5, 2), (-30, 6), (-110, 3), (-200, 0)))
    left = profile(space.z, ((110, -9), (75, -4), (50, 2), (28, 7), (8, 2), (-14, 8), (-50, 2), (-200, 0)))
    column = np.abs(space.x) - half - np.where(space.x > 0, right, left)
    x0, y0 = spine_centre(patient, space.z)
    width, depth = body_radii(space.z)
    spine = (np.sqrt(((space.x - x0) / (width + 5)) ** 2 + ((space.y - y0) / (depth + 5)) ** 2) - 1) * 20
    aorta = tube(space, [aorta_line(patient)], reach_mm=10) - 3
    hila = [ellipsoid(space, (s * 34, -14, -22), (20, 16, 24)) for s in (-1, 1)]
    return union(column.astype(np.float32), spine, heart - 4, aorta, *hila, blend_mm=8)


def _vessel_lines(patient: Patient, rng: np.random.Generator) -> list[NDArray[np.float64]]:
    """Return a random tree from each hilum, thinning towards the pleura."""
    lines: list[NDArray[np.float64]] = []

    def grow(start: NDArray[np.float64], reach: NDArray[np.float64], radius: float, depth: int) -> None:
        bend = rng.normal(0, 0.12 * np.linalg.norm(reach), 3)
        end = start + reach
        middle = start + 0.5 * reach + bend
        lines.append(curve([(*start, radius), (*middle, 0.8 * radius), (*end, 0.6 * radius)], step_mm=9))
        if depth == 0:
            return
        for share in (0.35, 0.6, 0.85, 1.0):
            towards = reach / np.linalg.norm(reach) + rng.normal(0, 0.55, 3)
            base = start + share * reach + 4 * share * (1 - share) * 0.5 * bend
            length = np.linalg.norm(reach) * rng.uniform(0.3, 0.5)
            grow(base, towards / np.linalg.norm(towards) * length, 0.65 * radius, depth - 1)

    for side in (-1, 1):
        hilum = np.array([side * 40.0, -14.0, -22.0])
        n_main = 18
        for i in range(n_main):
            up = 1 - 2 * (i + 0.5) / n_main
            # the golden angle spreads the main vessels evenly over a sphere
            turn = i * 2.39996 + rng.uniform(-0.3, 0.3)
            flat = np.sqrt(1 - up**2)
            reach = np.array(
                [side * (22 + 55 * abs(flat * np.cos(turn))), 66 * flat * np.sin(turn), 92 * up - 12]
            )
            grow(hilum, reach, rng.uniform(3.4, 4.6), 2)
    return lines
