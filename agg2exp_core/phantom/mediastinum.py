"""Mediastinum and neck: heart, great vessels, airways, gullet, thyroid gland."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agg2exp_core.labels import BACKGROUND
from agg2exp_core.phantom.canvas import Canvas
from agg2exp_core.phantom.frame import spine_centre
from agg2exp_core.phantom.patient import Patient
from agg2exp_core.phantom.shapes import Field, Knot, Point, Space, curve, ellipsoid, tube, union


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

    gullet = vessel(
        [(-3, -26, 142, 6), (-4, -28, 60, 7), (-5, -36, 0, 7), (-6, -40, -70, 7), (-16, -20, -150, 8)]
    )
    canvas.paint(gullet, 38, BACKGROUND)
    cava = vessel([(22, 22, 78, 8), (24, 14, 50, 9), (25, 8, 0, 10), (26, 10 + hy, -36 + hz, 10)])
    neck = vessel(
        [(8, 8, 34, 7), (18, 6, 70, 6), (28, -4, 142, 4.5)],
        [(-6, 0, 36, 5), (-18, -2, 75, 5), (-28, -6, 142, 4.5)],
        [(-14, -10, 36, 5.5), (-17, -14, 72, 5), (-26, -8, 102, 5), (-56, -2, 106, 4.5)],
        [(22, 22, 78, 8), (32, 6, 106, 7), (37, 0, 142, 7)],
        [(24, 14, 46, 8), (-8, 24, 56, 7), (-17, 18, 78, 7), (-32, 4, 106, 7), (-37, 0, 142, 7)],
    )
    arteries = vessel(
        [(-20 + hx, 38 + hy, -42 + hz, 13), (-18, 22, -18, 13), (-26, -4, -8, 12), (-52, -18, -14, 8)],
        [(-18, 18, -12, 12), (8, -3, -14, 11), (32, -8, -18, 10), (54, -16, -28, 7)],
    )
    canvas.paint(union(cava, neck), 0.9 * blood, BACKGROUND)
    canvas.paint(arteries, 1.05 * blood, BACKGROUND)

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
