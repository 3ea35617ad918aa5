"""Read one volume from a NIfTI file, in one pass that checks every voxel."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from agg2exp_core.errors import ScanError
from agg2exp_core.memory import require_memory
from agg2exp_core.types import Grid, Volume
from agg2exp_core.volumes.nifti_geometry import grid_of_reader
from agg2exp_core.volumes.nifti_header import HEADER_BYTES, Layout, parse_header

CHUNK_VOXELS = 1 << 21
"""Voxels that are read, checked and converted at a time."""
MAX_DEFLATE_RATIO = 1032
"""The most that one byte of a gzip stream can expand to."""
TRAILING_BYTES = 1 << 20
"""What may follow the voxels in a file."""
MOST_CHANNELS = 16
"""Of a scan: a longer fourth axis is a series in time."""


def read_nifti(path: str | Path, geometry: str = "nifti") -> Volume:
    """Read a scan.

    Parameters
    ----------
    path : str or Path
        A single-file NIfTI, ``.nii`` or ``.nii.gz`` (told by content): any orientation, integer or real
        voxels of up to 64 bits, three axes or four with up to `MOST_CHANNELS` channels; further axes of
        size 1 hold nothing.
    geometry : {"nifti", "itk", "zooms"}
        Whose grid counts where sform, qform and spacing of the header disagree: that of the standard, of
        ITK's reader, or the standard's with the edges that the header tells as the spacing.

    Returns
    -------
    Volume
        Float32 values ``[X, Y, Z]``, or ``[C, X, Y, Z]`` for several channels, in the file's orientation,
        slope and intercept applied.

    Raises
    ------
    ScanError
        If there is no such file, it cannot be read to its end, its header describes no volume that fits in
        memory, or its voxels are not finite or, in a channel, all the same.

    Notes
    -----
    Lengths are in the header's unit, mm where it names none; no descriptive field of the header is read.
    Where neither sform nor qform is given, the grid is the header's spacing around the centre, the first
    axis to the left. What forms or units leave doubtful is in the remarks.
    """
    values, layout = _read(path, MOST_CHANNELS)
    for channel in values if values.ndim == 4 else [values]:
        refuse_constant(channel, str(path))
    grid = layout.grid
    if geometry != "nifti" and any(remark.code == "geometry" for remark in layout.remarks):
        grid = grid_of_reader(Path(path), grid, geometry)
    return Volume(values, grid, content_hash(values, grid), str(path), layout.remarks)


def read_voxels(path: str | Path) -> tuple[NDArray[np.float32], Grid]:
    """Read values ``[X, Y, Z]`` and grid of a NIfTI file that may be constant, such as an empty mask.

    Raises
    ------
    ScanError
        As `read_nifti` does, except for constant values.
    """
    values, layout = _read(path, 1)
    return values, layout.grid


def look_at_nifti(path: str | Path) -> Layout:
    """Return what the header of a scan says; its voxels are not read.

    Raises
    ------
    ScanError
        As `read_nifti` does, of what a header and the size of the file show.
    """
    with _laid_out(path, MOST_CHANNELS) as (_, layout):
        return layout


def _read(path: str | Path, most_channels: int) -> tuple[NDArray[np.float32], Layout]:
    with _laid_out(path, most_channels) as (stream, layout):
        stream.seek(layout.offset)
        return _stream_values(stream, layout, str(path)), layout


@contextmanager
def _laid_out(path: str | Path, most_channels: int) -> Iterator[tuple[BinaryIO, Layout]]:
    """Open a file whose header describes voxels that it can hold."""
    where = str(path)
    try:
        with _open(Path(path), where) as (stream, most_bytes):
            layout = parse_header(stream.read(HEADER_BYTES), where, most_channels)
            _check_size(layout, most_bytes, where)
            yield stream, layout
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _damaged(where, f"a damaged gzip stream ({error})") from error
    except OSError as error:
        raise _no_file(where, f"a file that cannot be read ({error.strerror or error})") from error


def refuse_constant(values: NDArray[np.float32], where: str) -> None:
    """Refuse a volume ``[X, Y, Z]`` that shows nothing.

    Raises
    ------
    ScanError
        If its values are all the same.
    """
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise ScanError(
            where,
            got=f"a constant volume: every voxel is {low:g}",
            allowed="a scan with at least two different values",
            remedy="check how the scan was exported",
        )


def content_hash(values: NDArray[np.float32], grid: Grid) -> str:
    """Return the identity of a scan: SHA-256 of its shape, affine and values, whatever their memory order.

    Parameters
    ----------
    values : ndarray of float32, shape [X, Y, Z] or [C, X, Y, Z]
        Intensities.
    grid : Grid
        Their grid; -0.0 and 0.0 in its affine are the same.
    """
    digest = hashlib.sha256(np.asarray(grid.shape, "<i8").tobytes())
    digest.update((np.asarray(grid.affine, "<f8") + 0.0).tobytes())
    for channel in values if values.ndim == 4 else [values]:
        for z in range(grid.shape[2]):
            digest.update(channel[:, :, z].astype("<f4", copy=False).tobytes(order="F"))
    return digest.hexdigest()


@contextmanager
def _open(path: Path, where: str) -> Iterator[tuple[BinaryIO, int]]:
    """Open a file for reading, with the most bytes that it can hold once uncompressed."""
    if not path.exists():
        raise _no_file(where, "nothing there")
    if not path.is_file():
        raise _no_file(where, "a folder" if path.is_dir() else "something that is no regular file")
    with path.open("rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        n_bytes = path.stat().st_size
        if compressed:
            with gzip.GzipFile(fileobj=raw, mode="rb") as stream:
                yield cast(BinaryIO, stream), n_bytes * MAX_DEFLATE_RATIO
        else:
            yield raw, n_bytes


def _check_size(layout: Layout, most_bytes: int, where: str) -> None:
    n_bytes = layout.offset + layout.n_voxels * layout.dtype.itemsize
    sizes = " x ".join(map(str, layout.grid.shape))
    require_memory(where, layout.offset + 4 * layout.n_voxels, f"a header that claims {sizes} voxels")
    if n_bytes > most_bytes:
        raise _damaged(
            where, f"a header that claims {sizes} voxels, {n_bytes} bytes in a file too small for it"
        )


def _stream_values(stream: BinaryIO, layout: Layout, where: str) -> NDArray[np.float32]:
    # a part at a time: the stored type may be twice as large as float32
    flat = np.empty(layout.n_voxels, dtype=np.float32)
    n_not_finite = 0
    for start in range(0, flat.size, CHUNK_VOXELS):
        part = flat[start : start + CHUNK_VOXELS]
        block = stream.read(part.size * layout.dtype.itemsize)
        if len(block) < part.size * layout.dtype.itemsize:
            raise _damaged(where, f"a file that ends before its {layout.n_voxels} voxels do")
        stored = np.frombuffer(block, layout.dtype)
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is counted as infinite
            if (layout.slope, layout.intercept) == (1.0, 0.0):
                part[:] = stored
            else:
                part[:] = stored.astype(np.float64) * layout.slope + layout.intercept
        n_not_finite += part.size - int(np.count_nonzero(np.isfinite(part)))
    if len(stream.read(TRAILING_BYTES)) == TRAILING_BYTES:  # reading to the end also checks the gzip CRC
        raise _damaged(where, "a file with more data than its header claims")
    if n_not_finite:
        raise ScanError(
            where,
            got=f"{n_not_finite} of {flat.size} voxels that are NaN or infinite",
            allowed="finite intensities within float32",
            remedy="replace them, for instance by the value of air, and save the scan again",
        )
    if layout.n_channels > 1:
        return np.moveaxis(flat.reshape((*layout.grid.shape, layout.n_channels), order="F"), -1, 0)
    return flat.reshape(layout.grid.shape, order="F")


def _no_file(where: str, got: str) -> ScanError:
    return ScanError(
        where,
        got=got,
        allowed="a readable .nii or .nii.gz file",
        remedy="check the path for a typo, the permissions and the disk",
    )


def _damaged(where: str, got: str) -> ScanError:
    return ScanError(
        where,
        got=got,
        allowed="a complete NIfTI file",
        remedy="the file is truncated or damaged: copy or export it again",
    )
