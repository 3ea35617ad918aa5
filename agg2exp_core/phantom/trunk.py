"""Trunk: table, skin, fat, muscles, and below the lungs the diaphragm and the upper abdomen."""

from __future__ import annotations

import numpy as np

from agg2exp_core.phantom.canvas import Canvas, texture
from agg2exp_core.phantom.frame import CAGE, MUSCLE, body_radii, spine_centre
from agg2exp_core.phantom.patient import Patient
from agg2exp_core.phantom.shapes import Field, Space, ellipsoid, intersection, profile, union

FAT_HU, MUSCLE_HU = -100.0, 52.0


def draw_trunk(canvas: Canvas, patient: Patient, rng: np.random.Generator) -> None:
    """Paint table, skin, fat, muscles and the autochthonous muscles of the back."""
    space = canvas.space
    muscle = MUSCLE.distance(space)
    fat = profile(space.z, ((145, 0.35), (100, 0.6), (0, 1.0), (-210, 1.15))) * np.float32(patient.fat_mm)
    skin: Field = muscle - fat
    if patient.sex == "F":
        breasts = [ellipsoid(space, (s * 68, 96, -42), (58, 34, 52)) for s in (-1, 1)]
        skin = union(skin, *breasts, blend_mm=18)
    if patient.table:
        below = np.float32(-128 - patient.fat_mm) + (space.x / np.float32(42)) ** 2
        table = np.abs(space.y - below + 6) - np.float32(6)
        canvas.paint(table, 60)
        canvas.paint(table + 2, -870)
    strands = texture(space, rng, 22)
    canvas.paint(skin, 10)
    canvas.paint(skin + 2.5, FAT_HU + 6 * strands)
    if patient.sex == "F":
        glands = [ellipsoid(space, (s * 68, 108, -44), (34, 16, 30)) + 5 * strands for s in (-1, 1)]
        canvas.paint(intersection(union(*glands), skin + 6, -muscle), 20)
    canvas.paint(muscle, MUSCLE_HU + 7 * strands)
    # fat planes between the chest wall, the shoulder blade and the pectoral muscles
    wall = CAGE.distance(space)
    plane = intersection(np.abs(wall - 9) - np.float32(1.5), 20 - space.z)
    canvas.paint(plane, -30)
    armpits = [ellipsoid(space, (s * 130, 12, 28), (20, 34, 44)) + 6 * strands for s in (-1, 1)]
    canvas.paint(intersection(union(*armpits), muscle + 4, 6 - wall), FAT_HU)

    x0, y0 = spine_centre(patient, space.z)
    depth = body_radii(space.z)[1]
    wide = profile(space.z, ((140, 13), (90, 16), (20, 20), (-120, 25), (-210, 29)))
    deep = profile(space.z, ((140, 12), (90, 12), (20, 13), (-120, 17), (-210, 21)))
    for side, name in ((-1, "autochthon_left"), (1, "autochthon_right")):
        dx = space.x - x0 - side * (wide + 4)
        dy = space.y - y0 + depth + 27
        muscles = (np.sqrt((dx / wide) ** 2 + (dy / deep) ** 2) - 1) * np.sqrt(wide * deep)
        muscles = intersection(muscles, muscle + 5)
        canvas.paint(muscles - 2.2, -55)
        canvas.paint(muscles, MUSCLE_HU + 8 + 9 * strands, name)


def diaphragm(space: Space, patient: Patient) -> Field:
    """Return the height of the diaphragm at every voxel's x and y."""

    def dome(top: float, x: float, y: float, wide: float) -> Field:
        q = ((space.x - x) / wide) ** 2 + ((space.y - y) / 80) ** 2
        return np.asarray(top - 62 * q**1.15 - patient.inspiration_mm, np.float32)

    domes = dome(-94, 62, 10, 62), dome(-106, -62, 10, 62), dome(-114, -12, 26, 60)
    return -union(*(-d for d in domes), blend_mm=14)


def draw_cavity(canvas: Canvas, patient: Patient, rng: np.random.Generator) -> None:
    """Paint mediastinal fat, the diaphragm and what lies below it."""
    space = canvas.space
    inside = CAGE.distance(space) + 6
    canvas.paint(inside, -88)
    below = space.z - diaphragm(space, patient)
    opacified = 0.35 * (patient.blood_hu - 45)
    abdomen = intersection(inside, below)
    canvas.paint(abdomen, MUSCLE_HU)
    abdomen = abdomen + 3
    canvas.paint(abdomen, FAT_HU)
    grain = texture(space, rng, 30)
    liver = ellipsoid(space, (46, 8, -168), (92, 92, 92))
    canvas.paint(intersection(liver, abdomen), 58 + opacified + 4 * grain)
    stomach = union(
        ellipsoid(space, (-58, 22, -158), (44, 48, 46)), ellipsoid(space, (-20, 52, -196), (60, 30, 26))
    )
    stomach = intersection(stomach, abdomen + 2)
    canvas.paint(stomach, 42)
    canvas.paint(stomach + 4, 18 + 8 * grain)
    canvas.paint(intersection(stomach + 4, 44 - space.y), -940)
    spleen = ellipsoid(space, (-96, -48, -166), (26, 36, 50))
    canvas.paint(intersection(spleen, abdomen), 52 + 1.2 * opacified)
