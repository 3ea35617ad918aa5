"""Bones and cartilages: vertebral column, ribs, sternum, shoulder girdle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agg2exp_core.labels import BACKGROUND
from agg2exp_core.phantom.canvas import Canvas
from agg2exp_core.phantom.frame import CAGE, THORACIC_MM, VERTEBRAE_MM, body_radii, spine_centre
from agg2exp_core.phantom.patient import Patient
from agg2exp_core.phantom.shapes import Field, Space, curve, intersection, profile, tube, union

SIDES = (-1.0, 1.0)
"""Left, right: the sign of x."""

RIB_DROP_MM = (34, 48, 60, 68, 74, 78, 80, 80, 76, 70, 50, 28)
RIB_END_DEG = (150, 150, 148, 146, 143, 139, 134, 127, 119, 110, 84, 58)
STERNAL_END_MM = (43, 17, -6, -27, -46, -62, -75)
FLAT = (1.0, 1.0, 1.5)
"""Ribs are taller than thick."""


def draw_skeleton(canvas: Canvas, patient: Patient) -> None:
    """Paint all bones and cartilages."""
    space, bone = canvas.space, patient.bone
    _draw_spine(canvas, patient)

    girdle = _shoulder_girdle(space)
    canvas.paint(girdle, 550 * bone, BACKGROUND)
    canvas.paint(girdle + 3, 220 * bone)

    cartilages = tube(space, _cartilage_lines(patient), reach_mm=space.spacing_mm, stretch=(1, 1, 1.35))
    canvas.paint(cartilages, 105 + 1.2 * max(0, patient.age - 40), "costal_cartilages")

    ribs = tube(space, _rib_lines(patient), reach_mm=space.spacing_mm, stretch=FLAT)
    canvas.paint(ribs, 720 * bone, "ribs")
    canvas.paint(ribs + 2.2, 240 * bone)

    sternum = _sternum(space)
    canvas.paint(sternum, 430 * bone, "sternum")
    canvas.paint(sternum + 2.5, 150 * bone)
    joint = np.abs(space.z - 17) - np.float32(1.5)
    canvas.paint(intersection(sternum, joint), 90)


def _draw_spine(canvas: Canvas, patient: Patient) -> None:
    space, bone = canvas.space, patient.bone
    x0, y0 = spine_centre(patient, space.z)
    width, depth = body_radii(space.z)
    dx, dy = space.x - x0, space.y - y0
    level = np.interp(space.z, VERTEBRAE_MM[::-1], np.arange(len(VERTEBRAE_MM))).astype(np.float32)
    from_middle = np.abs(level - np.round(level)) * np.float32(22.5)  # mm from the middle of the nearest body

    radial = np.sqrt((dx / width) ** 2 + (dy / depth) ** 2)
    waist = np.float32(1.5) * np.cos(from_middle * np.float32(np.pi / 9))
    bodies = (radial - 1) * np.sqrt(width * depth) + np.maximum(waist, 0)

    to_canal = np.sqrt(dx**2 + (dy + depth + 9) ** 2)
    canal = to_canal - np.float32(8.5)
    arches = intersection(to_canal - np.float32(14), from_middle - np.float32(8.5))

    processes = tube(space, _process_lines(patient), reach_mm=space.spacing_mm, stretch=(1, 1, 1.4))
    whole = union(bodies, arches, processes)
    canvas.paint(whole, 480 * bone, "vertebraes")
    canvas.paint(whole + 2.5, 200 * bone)
    discs = intersection(bodies, 8.7 - from_middle)
    canvas.paint(discs, 95)
    canvas.paint(canal, 25, BACKGROUND)
    canvas.paint(to_canal - 5, 42)


def _process_lines(patient: Patient) -> list[NDArray[np.float64]]:
    lines = []
    heights = np.array(VERTEBRAE_MM)
    for z, x, y, depth in zip(heights, *spine_centre(patient, heights), body_radii(heights)[1], strict=True):
        back = y - depth - 9
        short = 0.7 if z > 90 else 1.0
        lines.append(curve([(x, back - 11, z - 3, 5.5), (x, back - 14 - 14 * short, z - 13, 4.5)]))
        for side in SIDES:
            tip = x + side * 35 * short
            lines.append(curve([(x + side * 11, back + 2, z + 3, 6), (tip, back - 10 * short, z + 3, 5)]))
    return lines


def _rib_path(patient: Patient, rib: int, side: float) -> NDArray[np.float64]:
    """Return points of one rib on the cage ``[N, 3]``, from the angle of the back to its front end."""
    start = 32 if rib < 11 else 28
    share = np.linspace(0, 1, 24)
    angle = np.radians(start + share * (RIB_END_DEG[rib] - start))
    descent = 0.5 * share + 0.25 * (1 - np.cos(np.pi * share))
    z = THORACIC_MM[rib] - 3 - patient.rib_drop * (RIB_DROP_MM[rib] - 3) * descent
    return CAGE.points(angle, z) * [side, 1, 1]


def _rib_lines(patient: Patient) -> list[NDArray[np.float64]]:
    lines = []
    for rib, z in enumerate(THORACIC_MM):
        x, y = (float(v[0]) for v in spine_centre(patient, np.array([z])))
        thick = 3.6 if rib in (0, 10, 11) else 4.2
        for side in SIDES:
            path = _rib_path(patient, rib, side)
            neck = [(x + side * 17, y - 8, z + 3, thick), (x + side * 34, y - 23, z + 2, thick)]
            lines.append(curve([*neck, *((*point, thick) for point in path)], step_mm=8))
    return lines


def _cartilage_lines(patient: Patient) -> list[NDArray[np.float64]]:
    lines = []
    share = np.linspace(0, 1, 12)
    for side in SIDES:
        joins = (0.0, 0.0)
        for rib in range(10):
            angle, z = np.radians(RIB_END_DEG[rib]), _rib_path(patient, rib, 1.0)[-1, 2]
            at_sternum = rib < len(STERNAL_END_MM)
            goal = (np.radians(172.0), STERNAL_END_MM[rib]) if at_sternum else joins
            angles = angle + share * (goal[0] - angle)
            dip = 5 * np.sin(np.pi * share) * (rib > 2)
            heights = z + share**1.4 * (goal[1] - z) - dip
            joins = float(angles[5]), float(heights[5])  # where the next one meets it, from the eighth on
            points = CAGE.points(angles, heights) * [side, 1, 1]
            lines.append(curve([(*point, 5.2) for point in points], step_mm=8))
    return lines


def _sternum(space: Space) -> Field:
    width = profile(
        space.z, ((62, 18), (52, 27), (40, 27), (18, 17), (5, 16), (-30, 18), (-70, 20), (-88, 14), (-98, 6))
    )
    front = profile(space.z, [(z, c + b) for z, _, b, c in CAGE.knots])
    across = np.abs(space.x) - width
    deep = np.abs(space.y - front) - np.float32(6.5)
    tall = np.abs(space.z + 26) - np.float32(84)
    outside = np.sqrt(sum(np.maximum(d + 3, 0) ** 2 for d in (across, deep, tall))) - np.float32(3)
    return np.asarray(np.where(outside > -3, outside, np.maximum(np.maximum(across, deep), tall)), np.float32)


def _shoulder_girdle(space: Space) -> Field:
    clavicles = [
        curve([(s * 24, 56, 60, 7), (s * 60, 62, 66, 5.5), (s * 95, 40, 72, 5.5), (s * 128, 6, 74, 6)])
        for s in SIDES
    ]
    spines = [curve([(s * 78, -84, 40, 5), (s * 110, -66, 58, 6), (s * 136, -20, 66, 7)]) for s in SIDES]
    angle = np.degrees(np.arctan2(np.abs(space.x), -space.y))
    blade = intersection(
        np.abs(CAGE.distance(space) - 15) - np.float32(3),
        (np.abs(space.z + 4) - np.float32(56)) * np.float32(0.7),
        (38 - angle) * np.float32(1.8),
        (angle - 58 - 0.28 * space.z) * np.float32(1.8),
    )
    return union(tube(space, clavicles + spines, reach_mm=space.spacing_mm), blade.astype(np.float32))
