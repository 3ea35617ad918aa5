"""A NIfTI header, parsed at the edge: everything it may say wrong is refused here."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Header, data_type_codes
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from agg2exp_core.errors import ScanError
from agg2exp_core.remarks import Remark
from agg2exp_core.types import Affine, Grid, Shape3

HEADER_BYTES = 540
"""Length of the longest header (NIfTI-2)."""
SINGULAR_SHARE = 1e-3
"""Voxel volume as a share of the product of the edges, under which the axes lie in one plane."""

QUATERNION_TOLERANCE = 1e-3
"""By which b, c, d of a quaternion may be longer than 1: they are stored in float32."""
SPACING_TOLERANCE = 1e-2
DIRECTION_TOLERANCE = 1.0
"""In degrees: the forms of a header that differ by less are one."""

_UNITS = {1: ("metres", 1e3), 3: ("micrometres", 1e-3)}
_KINDS: tuple[tuple[int, Any, slice, bytes], ...] = (
    (348, Nifti1Header, slice(344, 348), b"n+1\0"),
    (540, Nifti2Header, slice(4, 8), b"n+2\0"),
)


@dataclass(frozen=True, eq=False)
class Layout:
    """Where a NIfTI file keeps its voxels and what they mean.

    Parameters
    ----------
    grid : Grid
        Shape and affine of the volume.
    dtype : numpy.dtype
        Of the voxels on disk, byte order included.
    offset : int
        Byte of the first voxel in the uncompressed file.
    slope, intercept : float
        Intensity = slope * voxel + intercept.
    n_channels : int
        Volumes along the fourth axis.
    remarks : tuple of Remark
        What of the geometry is doubtful.
    """

    grid: Grid
    dtype: np.dtype[Any]
    offset: int
    slope: float
    intercept: float
    n_channels: int = 1
    remarks: tuple[Remark, ...] = ()

    @property
    def n_voxels(self) -> int:
        """Voxels of all channels."""
        x, y, z = self.grid.shape
        return x * y * z * self.n_channels


def parse_header(block: bytes, where: str, most_channels: int = 1) -> Layout:
    """Read the header of a single-file NIfTI-1 or NIfTI-2.

    Parameters
    ----------
    block : bytes
        The first `HEADER_BYTES` of the uncompressed file, or fewer where the file is shorter.
    where : str
        The file, for messages.
    most_channels : int
        Largest size of a fourth axis.

    Raises
    ------
    ScanError
        If this is no NIfTI header, or one that describes no real volume in the world.
    """
    header = _recognise(block, where)
    shape, n_channels = _shape(header["dim"], where, most_channels)
    _check_spacing(header["pixdim"], where)
    slope, intercept = _scaling(header, where)
    scale, remarks = _millimetres(header)
    affine = _affine(header, where)
    remarks += _other_forms(header, affine)
    affine[:3] *= scale
    return Layout(
        grid=Grid(shape, affine),
        dtype=_dtype(header, where),
        offset=_offset(header, where),
        slope=slope,
        intercept=intercept,
        n_channels=n_channels,
        remarks=remarks,
    )


def _recognise(block: bytes, where: str) -> Any:
    for size, kind, magic_bytes, magic in _KINDS:
        if len(block) < size or block[magic_bytes] != magic:
            continue
        for order in "<>":
            if struct.unpack_from(f"{order}i", block)[0] == size:
                return kind(block[:size], endianness=order, check=False)
    raise ScanError(
        where,
        got=f"a file without a NIfTI header ({len(block)} bytes read)" if block else "an empty file",
        allowed="a single-file NIfTI-1 or NIfTI-2 (.nii or .nii.gz)",
        remedy="for DICOM name the folder of the series; else convert the scan, or copy the file again",
    )


def _shape(dim: NDArray[Any], where: str, most_channels: int) -> tuple[Shape3, int]:
    n_axes = int(dim[0])
    sizes = [int(n) for n in dim[1 : 1 + n_axes]] if 0 < n_axes <= 7 else []
    x, y, z = [*sizes, 0, 0, 0][:3]
    further = [n for n in sizes[3:] if n != 1]  # axes of size 1 hold nothing
    n_channels = further[0] if further else 1
    if n_axes < 3 or len(further) > 1 or min(x, y, z) < 2 or not 1 <= n_channels <= most_channels:
        raise ScanError(
            where,
            got=f"data with {n_axes} axes of sizes {sizes}",
            allowed="three axes of at least 2 voxels, and perhaps one more "
            + (f"of up to {most_channels} channels" if most_channels > 1 else "of size 1"),
            remedy="split a series into single volumes; if the sizes look wrong, export the scan again",
        )
    return (x, y, z), n_channels


def _dtype(header: Any, where: str) -> np.dtype[Any]:
    code = int(header["datatype"])
    try:
        dtype: np.dtype[Any] = header.get_data_dtype()
        name = str(data_type_codes.label[code])
    except (HeaderDataError, KeyError):
        dtype, name = np.dtype("V1"), "unknown"
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise ScanError(
            where,
            got=f"voxels of the data type {name} (code {code})",
            allowed="integers or real numbers of 8 to 64 bits",
            remedy="convert the scan to one intensity per voxel, for instance float32",
        )
    return dtype


def _check_spacing(pixdim: NDArray[Any], where: str) -> None:
    spacing_mm = [float(s) for s in pixdim[1:4]]
    if not all(np.isfinite(s) and s > 0 for s in spacing_mm):
        raise _wrong_header(where, f"a voxel spacing of {spacing_mm} mm", "three positive, finite numbers")


def _affine(header: Any, where: str) -> Affine:
    """Return the sform, else the qform, else the spacing alone (NIfTI's methods 3, 2 and 1)."""
    header["pixdim"][0] = -1 if header["pixdim"][0] == -1 else 1  # qfac: the standard reads 0 as 1
    _mend_quaternion(header)
    try:
        with np.errstate(all="ignore"):
            affine = np.array(header.get_best_affine(), dtype=np.float64)
            edges = np.linalg.norm(affine[:3, :3], axis=0)
            share = abs(np.linalg.det(affine[:3, :3])) / np.prod(edges)
    except (HeaderDataError, ValueError):
        affine, share = np.full((4, 4), np.nan), np.nan
    if not np.isfinite(affine).all() or not share > SINGULAR_SHARE:
        if int(header["sform_code"]) <= 0 < int(header["qform_code"]):
            bcd = [round(float(v), 6) for v in _quaternion(header)]
            got = f"a qform whose quaternion {bcd} is no rotation, and so no affine"
            raise _wrong_header(where, got, "b, c, d of a unit quaternion")
        rows = [[round(float(v), 4) for v in row] for row in affine[:3]]
        raise _wrong_header(
            where, f"a singular or non-finite affine {rows}", "an affine whose three axes span the space"
        )
    return affine


def _quaternion(header: Any) -> NDArray[np.float64]:
    return np.array([header[f"quatern_{name}"] for name in "bcd"], dtype=np.float64)


def _mend_quaternion(header: Any) -> None:
    """Scale b, c, d to length 1 where rounding made them longer, as ITK and NIfTI's own library do."""
    length = float(np.linalg.norm(_quaternion(header)))
    if 1 < length <= 1 + QUATERNION_TOLERANCE:
        for name, value in zip("bcd", _quaternion(header) / length, strict=True):
            header[f"quatern_{name}"] = value


def _millimetres(header: Any) -> tuple[float, tuple[Remark, ...]]:
    """Return the mm that a unit of the header is, and a remark where it is another; unknown means mm."""
    name, scale = _UNITS.get(int(header["xyzt_units"]) & 0b111, ("", 1.0))
    if not name:
        return 1.0, ()
    return scale, (Remark("units", f"the header counts in {name}; lengths are read so"),)


def _other_forms(header: Any, affine: Affine) -> tuple[Remark, ...]:
    """Return a remark where the forms that are not used tell of another spacing or other directions."""
    used = "sform" if int(header["sform_code"]) > 0 else "qform" if int(header["qform_code"]) > 0 else ""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    name, its_spacing = "pixdim", np.asarray(header["pixdim"][1:4], dtype=np.float64)
    angle = 0.0
    if used == "sform" and int(header["qform_code"]) > 0:
        try:
            with np.errstate(all="ignore"):
                axes = np.asarray(header.get_qform(), dtype=np.float64)[:3, :3]
        except (HeaderDataError, ValueError):
            return (Remark("geometry", "the qform is no rotation; the sform is read"),)
        name, its_spacing = "qform", np.linalg.norm(axes, axis=0)
        cosines = np.sum(axes * affine[:3, :3], axis=0) / (its_spacing * spacing)
        angle = float(np.degrees(np.arccos(np.clip(cosines, -1, 1))).max())
    mm, its_mm = (" x ".join(f"{v:.4g}" for v in values) for values in (spacing, its_spacing))
    if not np.allclose(its_spacing, spacing, rtol=SPACING_TOLERANCE):
        return (Remark("geometry", f"{used} and {name} disagree: voxels of {mm} or {its_mm}"),)
    if angle > DIRECTION_TOLERANCE:
        return (Remark("geometry", f"{used} and {name} disagree by {angle:.3g} degrees"),)
    axes = affine[:3, :3] / spacing
    shear = float(np.degrees(np.arcsin(np.clip(np.abs(np.triu(axes.T @ axes, 1)), 0, 1))).max())
    if shear > DIRECTION_TOLERANCE:
        return (
            Remark("shear", f"the axes miss right angles by {shear:.3g} degrees, as a tilted gantry's do"),
        )
    return ()


def _offset(header: Any, where: str) -> int:
    offset, least = float(header["vox_offset"]), int(header["sizeof_hdr"])
    if not np.isfinite(offset) or offset < least:
        raise _wrong_header(
            where, f"voxels that start at byte {offset:g}", f"a start after the header's {least} bytes"
        )
    return int(offset)


def _scaling(header: Any, where: str) -> tuple[float, float]:
    try:
        slope, intercept = header.get_slope_inter()
    except HeaderDataError:
        intercept = float(header["scl_inter"])
        raise _wrong_header(where, f"an intensity intercept of {intercept}", "a finite number") from None
    return (1.0, 0.0) if slope is None else (float(slope), float(intercept))


def _wrong_header(where: str, got: str, allowed: str) -> ScanError:
    return ScanError(where, got=got, allowed=allowed, remedy="correct the header, or export the scan again")
