"""Grids and functions in the world with known answers."""

import numpy as np

from agg2exp_core.types import Grid


def oriented(axcodes, spacing_mm=(1.0, 1.0, 1.0), origin_mm=(0.0, 0.0, 0.0), shape=(12, 13, 14)):
    """A grid whose axes point as `axcodes` says."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, letter in enumerate(axcodes):
        towards = "RAS".find(letter)
        affine[towards if towards >= 0 else "LPI".index(letter), axis] = spacing_mm[axis] * (
            1 if towards >= 0 else -1
        )
    affine[:3, 3] = origin_mm
    return Grid(shape, affine)


def oblique(
    angle_degrees=20.0, spacing_mm=(1.5, 2.0, 3.0), origin_mm=(-14.0, -20.0, -22.0), shape=(24, 22, 18)
):
    """A grid turned about all three axes of the world."""
    a = np.deg2rad(angle_degrees)
    c, s = np.cos(a), np.sin(a)
    about_x = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    about_y = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    about_z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = about_x @ about_y @ about_z @ np.diag(spacing_mm)
    affine[:3, 3] = origin_mm
    return Grid(shape, affine)


def world(grid):
    """World coordinates of all voxel centres ``[X, Y, Z, 3]``."""
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    return index @ grid.affine[:3, :3].T + grid.affine[:3, 3]


def plane(grid):
    """3 x - 2 y + 0.5 z + 7 at the voxel centres: linear interpolation gives it exactly."""
    return world(grid) @ np.array([3.0, -2.0, 0.5]) + 7.0
