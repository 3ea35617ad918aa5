"""Analytic shapes in body coordinates: signed distances in mm, negative inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from agg2exp_core.types import Shape3

Field = NDArray[np.float32]
"""A real number at every voxel ``[X, Y, Z]``: a coordinate or a signed distance in mm."""
Point = tuple[float, float, float]
Knot = tuple[float, float, float, float]
"""A point of a tube's centreline and its radius there, in mm."""

FAR_MM = 1e3
"""The distance that a tube reports beyond its reach."""


@dataclass(frozen=True, eq=False)
class Space:
    """Where the voxels of a scan lie in the body.

    Body coordinates are mm of a reference patient: +x right, +y anterior, +z superior, the
    origin in the midline at the carina.

    Parameters
    ----------
    shape : tuple of int
        Voxels ``(X, Y, Z)``.
    index_to_body : ndarray of float64, shape [4, 4]
        Voxel index to body coordinates.
    spacing_mm : float
        Edge length of a voxel.
    """

    shape: Shape3
    index_to_body: NDArray[np.float64]
    spacing_mm: float

    def _axis(self, row: int) -> Field:
        i, j, k = np.ogrid[tuple(slice(n) for n in self.shape)]
        m = self.index_to_body[row]
        return np.asarray(m[0] * i + m[1] * j + m[2] * k + m[3], np.float32)

    @cached_property
    def x(self) -> Field:
        """Towards the patient's right."""
        return self._axis(0)

    @cached_property
    def y(self) -> Field:
        """Towards the front."""
        return self._axis(1)

    @cached_property
    def z(self) -> Field:
        """Towards the head."""
        return self._axis(2)

    def box(self, points: NDArray[np.float64], pad_mm: float) -> tuple[slice, slice, slice]:
        """Return the voxels around `points` ``[N, 3]``, `pad_mm` further on each side."""
        body_to_index = np.linalg.inv(self.index_to_body)
        index = points @ body_to_index[:3, :3].T + body_to_index[:3, 3]
        pad = pad_mm * np.abs(body_to_index[:3, :3]).sum(axis=1)
        low = np.clip(np.floor(index.min(axis=0) - pad), 0, self.shape).astype(int)
        high = np.clip(np.ceil(index.max(axis=0) + pad) + 1, 0, self.shape).astype(int)
        x, y, z = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        return x, y, z


def profile(z: NDArray[np.floating], knots: Sequence[tuple[float, float]]) -> NDArray[np.float32]:
    """Interpolate ``(z, value)`` knots without overshoot; constant beyond the ends."""
    at, values = np.array(sorted(knots), float).T
    table = np.linspace(at[0], at[-1], 256)
    return np.asarray(np.interp(z, table, PchipInterpolator(at, values)(table)), np.float32)


def ellipsoid(space: Space, centre: Point, radii: Point, frame: NDArray[np.float64] | None = None) -> Field:
    """Return the signed distance to an ellipsoid (first order, exact on the surface).

    Parameters
    ----------
    space : Space
        The voxels.
    centre, radii : tuple of float
        In mm.
    frame : ndarray of float64, shape [3, 3], optional
        Rows are the directions of the radii; the body's axes by default.
    """
    dx, dy, dz = space.x - centre[0], space.y - centre[1], space.z - centre[2]
    if frame is not None:
        f = frame.astype(np.float32)
        dx, dy, dz = (f[i, 0] * dx + f[i, 1] * dy + f[i, 2] * dz for i in range(3))
    a, b, c = (np.float32(r) for r in radii)
    ux, uy, uz = dx / a, dy / b, dz / c
    level = np.sqrt(ux * ux + uy * uy + uz * uz)
    slope = np.sqrt((ux / a) ** 2 + (uy / b) ** 2 + (uz / c) ** 2) + np.float32(1e-6)
    return np.asarray(level * (level - 1) / slope, np.float32)


def curve(knots: Sequence[Knot], step_mm: float = 6.0) -> NDArray[np.float64]:
    """Return a smooth centreline through `knots`, ``[N, 4]``: points and radii about every `step_mm`."""
    points = np.asarray(knots, float)
    length = np.r_[0, np.cumsum(np.linalg.norm(np.diff(points[:, :3], axis=0), axis=1))]
    n_points = max(2, int(np.ceil(length[-1] / step_mm)) + 1)
    return np.asarray(PchipInterpolator(length, points)(np.linspace(0, length[-1], n_points)))


def tube(
    space: Space,
    lines: Sequence[NDArray[np.float64]],
    *,
    reach_mm: float,
    stretch: Point = (1.0, 1.0, 1.0),
) -> Field:
    """Return the signed distance to round tubes along polylines.

    Parameters
    ----------
    space : Space
        The voxels.
    lines : sequence of ndarray, shape [N, 4]
        Points and radii in mm, as `curve` makes them.
    reach_mm : float
        How far from the surface the distance is wanted; beyond it is `FAR_MM`.
    stretch : tuple of float
        Makes the section an ellipse: lengths along the body's axes are divided by this.
    """
    sdf = np.full(space.shape, FAR_MM, np.float32)
    by = np.asarray(stretch)
    for line in lines:
        for start, end in pairwise(line):
            pad_mm = max(start[3], end[3]) * by.max() + reach_mm
            box = space.box(np.stack([start[:3], end[:3]]), float(pad_mm))
            along = (end[:3] - start[:3]) / by
            offset = [
                (axis[box] - np.float32(at)) / np.float32(s)
                for axis, at, s in zip((space.x, space.y, space.z), start[:3], by, strict=True)
            ]
            # the nearest point of the segment, as a share of the way along it
            squared = np.float32(max(along @ along, 1e-9))
            share = sum(o * np.float32(c) for o, c in zip(offset, along, strict=True)) / squared
            share = np.clip(share, 0, 1)
            distance = np.sqrt(
                sum((o - share * np.float32(c)) ** 2 for o, c in zip(offset, along, strict=True))
            ) - (start[3] + share * np.float32(end[3] - start[3]))
            np.minimum(sdf[box], distance, out=sdf[box])
    return sdf


def union(*fields: Field, blend_mm: float = 0.0) -> Field:
    """Return the union, its creases filled within `blend_mm`."""
    result = fields[0]
    for other in fields[1:]:
        if blend_mm:
            # the polynomial smooth minimum: equal to the minimum where the two differ by more than blend_mm
            h = np.clip(0.5 + 0.5 * (other - result) / np.float32(blend_mm), 0, 1)
            result = other + (result - other) * h - np.float32(blend_mm) * h * (1 - h)
        else:
            result = np.minimum(result, other)
    return result


def intersection(*fields: Field) -> Field:
    """Return what all have in common."""
    result = fields[0]
    for other in fields[1:]:
        result = np.maximum(result, other)
    return result


@dataclass(frozen=True)
class Oval:
    """A trunk-like surface: at each height a superellipse ``|x/a|^n + |(y-c)/b|^n = 1``.

    Parameters
    ----------
    knots : tuple of (z, a, b, c)
        Half width, half depth and centre at some heights, in mm.
    power : float
        n: 2 is an ellipse, more is squarer.
    """

    knots: tuple[tuple[float, float, float, float], ...]
    power: float

    def _profiles(self, z: NDArray[np.floating]) -> tuple[NDArray[np.float32], ...]:
        return tuple(profile(z, [(k[0], k[i]) for k in self.knots]) for i in (1, 2, 3))

    def _radius(
        self,
        dx: NDArray[np.floating],
        dy: NDArray[np.floating],
        a: NDArray[np.float32],
        b: NDArray[np.float32],
    ) -> NDArray[np.floating]:
        n = np.float32(self.power)
        return np.asarray(((np.abs(dx) / a) ** n + (np.abs(dy) / b) ** n) ** (-1 / n))

    def distance(self, space: Space) -> Field:
        """Return the signed distance to the surface, measured within the axial plane."""
        a, b, c = self._profiles(space.z)
        dy = space.y - c
        from_axis = np.sqrt(space.x**2 + dy**2) + np.float32(1e-3)
        radius = self._radius(space.x / from_axis, dy / from_axis, a, b)
        return np.asarray(from_axis - radius, np.float32)

    def points(self, angle: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return points of the surface ``[N, 3]``; `angle` runs from 0 at the back to pi at the front."""
        a, b, c = self._profiles(z)
        dx, dy = np.sin(angle), -np.cos(angle)
        radius = self._radius(dx, dy, a, b)
        return np.stack([dx * radius, c + dy * radius, z], axis=-1).astype(float)

    def grown(self, by_mm: float) -> Oval:
        """Return the surface `by_mm` further out."""
        return Oval(tuple((z, a + by_mm, b + by_mm, c) for z, a, b, c in self.knots), self.power)
