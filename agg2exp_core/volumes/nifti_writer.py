"""Write a volume on its grid as a NIfTI file that names nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from agg2exp_core.errors import UsageError
from agg2exp_core.files import whole_file
from agg2exp_core.types import Grid

_DESCRIPTION_BYTES = 79
SCANNER = 1
"""NIfTI's code of an affine in the scanner's own coordinates."""


LABELS, ESTIMATE = "label", "estimate"
"""NIfTI's intents of a label map, and of computed values."""


def write_nifti(
    path: str | Path, values: NDArray[Any], grid: Grid, *, intent: str = "none", description: str = ""
) -> None:
    """Write a volume so that it is there complete or not at all.

    Parameters
    ----------
    path : str or Path
        Target, ``.nii`` or ``.nii.gz``; an existing file is replaced.
    values : ndarray, shape [X, Y, Z] or [C, X, Y, Z]
        Booleans and integers keep their values in the smallest type that holds them all (unsigned where none
        is negative), real numbers become float32. Channels become the fourth axis of the file.
    grid : Grid
        Where the voxels lie. Its affine is the sform, and the qform too unless it is sheared.
    intent : str
        NIfTI's name of what the values are: `LABELS`, `ESTIMATE` or none.
    description : str
        What they are in words that name nobody; a header holds 79 letters of it.

    Raises
    ------
    UsageError
        If the shapes disagree, the path has another extension, or the file cannot be written.

    Notes
    -----
    Equal input gives equal bytes. The header holds geometry, data type, intent and description alone.
    """
    path = Path(path)
    if not path.name.endswith((".nii", ".nii.gz")):
        raise UsageError(
            path,
            got="another extension",
            allowed=".nii or .nii.gz",
            remedy="name the output, for instance, heart.nii.gz",
        )
    if values.ndim not in (3, 4) or values.shape[-3:] != grid.shape:
        raise UsageError(
            path,
            got=f"values of shape {list(values.shape)} for a grid of {list(grid.shape)}",
            allowed="[X, Y, Z] or [C, X, Y, Z] on that grid",
            remedy="resample the values to the grid first",
        )
    image = _image(values, grid)
    image.header.set_intent(intent)
    image.header["descrip"] = description.encode("ascii", "replace")[:_DESCRIPTION_BYTES]
    with whole_file(path) as partial:
        nib.save(image, partial)


def _image(values: NDArray[Any], grid: Grid) -> Any:
    stored = values.astype(_stored_type(values), copy=False)
    on_disk = np.moveaxis(stored, 0, -1) if stored.ndim == 4 else stored  # [X, Y, Z] or [X, Y, Z, C]
    image: Any = nib.Nifti1Image(on_disk, grid.affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(grid.affine, code=SCANNER)
    try:
        image.set_qform(grid.affine, code=SCANNER, strip_shears=False)
    except HeaderDataError:  # a quaternion cannot say a shear
        image.set_qform(None, code=0)
    return image


def _stored_type(values: NDArray[Any]) -> np.dtype[Any]:
    if values.dtype.kind == "b":
        return np.dtype(np.uint8)
    if values.dtype.kind in "iu":
        low, high = int(values.min()), int(values.max())
        return np.min_scalar_type(high if low >= 0 else min(low, -high - 1))
    return np.dtype(np.float32)
