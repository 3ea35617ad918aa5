"""Trunk, lungs and the contents of mediastinum, neck and upper abdomen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agg2exp_core.phantom.canvas import Canvas, texture
from agg2exp_core.phantom.frame import CAGE, MUSCLE, body_radii, spine_centre
from agg2exp_core.phantom.patient import Patient
from agg2exp_core.phantom.shapes import (
    Field,
    Knot,
    Point,
    Space,
    curve,
    ellipsoid,
    intersection,
    profile,
    tube,
    union,
)

FAT_HU, MUSCLE_HU = -100.0, 52.0


def draw_trunk(canvas: Canvas, patient: Patient, rng: np.random.Generator) -> None:
    """Paint table, skin, fat, muscles and the autochthonous muscles of the back."""
    space = canvas.space
    muscle = MUSCLE.distance(space)
    fat = profile(space.z, ((145, 0.35), (100, 0.6), (0, 1.0), (-210, 1.15))) * np.float32(patient.fat_mm)
    skin = muscle - fat
    if patient.sex == "F":
        breasts = [ellipsoid(space, (s * 68, 96, -42), (58, 34, 52)) for s in (-1, 1)]
        skin = union(skin, *breasts, blend_mm=18)
    if patient.table:
        below = -8 - 113 - patient.fat_mm - 7 + (space.x / 42) ** 2
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
    plane = intersection(np.abs(wall - 9) - np.float32(1.5), 20 - space.z, -space.y - 200)
    canvas.paint(plane, -30)
    armpits = [ellipsoid(space, (s * 132, 12, 28), (20, 34, 42)) for s in (-1, 1)]
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
    stomach = union(ellipsoid(space, (-58, 22, -158), (44, 48, 46)), ellipsoid(space, (-20, 52, -196), (60, 30, 26)))
    stomach = intersection(stomach, abdomen + 2)
    canvas.paint(stomach, 42)
    canvas.paint(stomach + 4, 18 + 8 * grain)
    canvas.paint(intersection(stomach + 4, 44 - space.y), -940)
    spleen = ellipsoid(space, (-96, -48, -166), (26, 36, 50))
    canvas.paint(intersection(spleen, abdomen), 52 + 1.2 * opacified)


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
            turn = i * 2.39996 + rng.uniform(-0.3, 0.3)
            flat = np.sqrt(1 - up**2)
            reach = np.array([side * (22 + 55 * abs(flat * np.cos(turn))), 66 * flat * np.sin(turn), 92 * up - 12])
            grow(hilum, reach, rng.uniform(3.4, 4.6), 2)
    return lines


def aorta_line(patient: Patient) -> NDArray[np.float64]:
    """Return the centreline of the aorta ``[N, 4]``: root, arch to the left, down beside the spine."""
    r = patient.aorta_radius
    dx, dy, dz = patient.arch_shift
    heart_z = patient.heart_shift[2] - 0.4 * patient.inspiration_mm
    heights = np.array([-20.0, -70.0, -130.0, -175.0, -215.0])
    x0, y0 = spine_centre(patient, heights)
    aside = np.array([25.0, 24.0, 18.0, 10.0, 6.0])
    ahead = np.array([12.0, 13.0, 19.0, 25.0, 27.0])
    descending: list[Knot] = [
        (float(x - a), float(y + b), float(z), 0.76 * r)
        for x, y, z, a, b in zip(x0, y0, heights, aside, ahead, strict=True)
    ]
    return curve(
        [
            (0, 16, -44 + heart_z, 1.0 * r),
            (13 + dx, 22 + dy, -18 + dz, 1.0 * r),
            (13 + dx, 20 + dy, 6 + dz, 0.98 * r),
            (3 + dx, 9 + dy, 25 + dz, 0.92 * r),
            (-14 + dx, -14 + dy, 27 + dz, 0.86 * r),
            (-25 + dx, -40 + dy, 8 + dz, 0.80 * r),
            *descending,
        ]
    )


def heart_shape(space: Space, patient: Patient) -> tuple[Field, dict[str, Field]]:
    """Return the heart and its four chambers; the apex points left, forward and down."""
    s = patient.heart_scale
    shift = np.array(patient.heart_shift) - [0, 0, 0.4 * patient.inspiration_mm]

    def at(x: float, y: float, z: float) -> Point:
        base = np.array([-4.0, 6.0, -52.0])
        px, py, pz = base + shift + s * (np.array([x, y, z]) - base)
        return float(px), float(py), float(pz)

    def oval(centre: Point, radii: Point, frame: NDArray[np.float64] | None = None) -> Field:
        return ellipsoid(space, centre, (radii[0] * s, radii[1] * s, radii[2] * s), frame)

    long = np.array([-0.72, 0.52, -0.46])
    long /= np.linalg.norm(long)
    up = np.array([0.0, 0.0, 1.0]) - long[2] * long
    up /= np.linalg.norm(up)
    frame = np.stack([long, np.cross(up, long), up])
    chambers = {
        "left_ventricle": oval(at(-34, 20, -70), (38, 20, 22), frame),
        "right_ventricle": oval(at(-4, 42, -72), (40, 17, 24), frame),
        "right_atrium": oval(at(30, 14, -58), (19, 23, 28)),
        "left_atrium": oval(at(-1, -12, -47), (27, 14, 19)),
    }
    ventricles = oval(at(-20, 28, -70), (66, 47, 44), frame)
    atria = chambers["right_atrium"] - 3, chambers["left_atrium"] - 3
    return union(ventricles, *atria, blend_mm=10), chambers


def draw_mediastinum(canvas: Canvas, patient: Patient, heart: Field, chambers: dict[str, Field]) -> None:
    """Paint heart, great vessels, airways, gullet and thyroid gland."""
    space, blood = canvas.space, patient.blood_hu
    cx, cy, cz = patient.carina_shift
    shift = np.array(patient.heart_shift) - [0, 0, 0.4 * patient.inspiration_mm]
    hx, hy, hz = (float(v) for v in shift)
    reach_mm = max(space.spacing_mm, 4.0)

    def vessel(*lines: list[Knot]) -> Field:
        return tube(space, [curve(line) for line in lines], reach_mm=reach_mm)

    gullet = vessel([(-3, -26, 142, 6), (-4, -28, 60, 7), (-5, -36, 0, 7), (-6, -40, -70, 7), (-16, -20, -150, 8)])
    canvas.paint(gullet, 38, "background")
    cava = vessel([(34, 26, 78, 8), (26, 14, 50, 9), (25, 8, 0, 10), (26, 10 + hy, -36 + hz, 10)])
    neck = vessel(
        [(8, 8, 34, 7), (18, 6, 70, 6), (28, -4, 142, 4.5)],
        [(-6, 0, 36, 5), (-18, -2, 75, 5), (-28, -6, 142, 4.5)],
        [(-14, -10, 36, 5.5), (-26, -16, 72, 5), (-56, -10, 88, 5)],
        [(34, 26, 78, 8), (36, 2, 142, 7)],
        [(24, 14, 46, 8), (-10, 26, 56, 7), (-34, 20, 78, 7), (-36, 0, 142, 7)],
    )
    arteries = vessel(
        [(-20 + hx, 38 + hy, -42 + hz, 13), (-18, 22, -18, 13), (-26, -4, -8, 12), (-52, -18, -14, 8)],
        [(-18, 18, -12, 12), (8, -3, -14, 11), (32, -8, -18, 10), (54, -16, -28, 7)],
    )
    canvas.paint(union(cava, neck), 0.9 * blood, "background")
    canvas.paint(arteries, 1.05 * blood, "background")

    veins = vessel(
        [(8 + hx, -12 + hy, -42 + hz, 8), (34, 2, -34, 8), (62, 10, -20, 6.5)],
        [(8 + hx, -16 + hy, -50 + hz, 8), (36, -22, -52, 8), (62, -34, -62, 6.5)],
        [(-10 + hx, -12 + hy, -42 + hz, 8), (-38, 2, -32, 8), (-64, 10, -18, 6.5)],
        [(-10 + hx, -16 + hy, -50 + hz, 8), (-38, -24, -52, 8), (-64, -34, -62, 6.5)],
    )
    canvas.paint(veins, 1.0 * blood, "pulmonary_vein")
    canvas.paint(heart, 48 + 0.35 * (blood - 45), "heart")
    for chamber in chambers.values():
        canvas.paint(chamber, 0.98 * blood)
    aorta = tube(space, [aorta_line(patient)], reach_mm=reach_mm)
    canvas.paint(aorta, 45, "aorta")
    canvas.paint(aorta + 1.5, blood)

    thyroid = union(
        ellipsoid(space, (-19, 2, 112), (10, 12, 23)),
        ellipsoid(space, (19, 2, 112), (10, 12, 23)),
        ellipsoid(space, (0, 13, 106), (20, 5.5, 8)),
        blend_mm=4,
    )
    canvas.paint(thyroid - 3, -60)
    canvas.paint(thyroid, 105 + 0.35 * (blood - 45), "thyroid_gland")
    fork = (cx, -20 + cy, cz, 8.5)
    airways = vessel(
        [(0, 2, 146, 9.5), (0, -2, 90, 9.5), (1, -12, 40, 9.5), fork],
        [fork, (20 + cx, -22 + cy, -20 + cz, 7.5), (38, -22, -36, 6.5)],
        [fork, (-24 + cx, -26 + cy, -18 + cz, 7), (-46, -28, -34, 6)],
    )
    canvas.paint(airways, 30, "trachea")
    canvas.paint(airways + 1.5, -990)
