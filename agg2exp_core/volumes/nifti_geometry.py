"""The grid of a NIfTI file as other readers see it, where its header tells of several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from agg2exp_core.errors import ScanError, unknown_name
from agg2exp_core.types import Affine, Grid

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


def grid_of_reader(path: Path, grid: Grid, geometry: str) -> Grid:
    """Return the grid on which a reader takes a file to lie.

    Parameters
    ----------
    path : Path
        The file, whose header can be read.
    grid : Grid
        As NIfTI's standard has it.
    geometry : {"itk", "zooms"}
        ITK's, or the standard's directions with the header's spacing along them.

    Raises
    ------
    ScanError
        If ITK cannot read the file.
    UsageError
        If there is no such geometry.
    """
    if geometry == "itk":
        return Grid(grid.shape, _itk_affine(path))
    if geometry != "zooms":
        raise unknown_name("geometry", geometry, ("nifti", "itk", "zooms"))
    zooms = np.asarray(nib.nifti1.load(path).header.get_zooms()[:3], dtype=np.float64)
    affine = grid.affine.copy()
    affine[:3, :3] *= zooms / np.asarray(grid.spacing_mm)
    return Grid(grid.shape, affine)


def _itk_affine(path: Path) -> Affine:
    import SimpleITK

    reader: Any = SimpleITK.ImageFileReader()  # type: ignore[no-untyped-call]
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise ScanError(
            path,
            got="a header whose forms disagree, and which ITK cannot read",
            allowed="a file that the model's own reader (ITK) reads",
            remedy="save the scan again with one form",
        ) from error
    n = reader.GetDimension()
    direction = np.array(reader.GetDirection()).reshape(n, n)[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = LPS_TO_RAS @ direction @ np.diag(reader.GetSpacing()[:3])
    affine[:3, 3] = LPS_TO_RAS @ np.array(reader.GetOrigin()[:3])
    return affine
