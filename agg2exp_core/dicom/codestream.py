"""What a compressed image says of its own size, read before a decoder makes room for it."""

from __future__ import annotations

import struct
from typing import NamedTuple

SOC_SIZ = b"\xff\x4f\xff\x51"
"""The two markers with which a JPEG 2000 codestream begins (ITU-T T.800, A.4 and A.5)."""
SOI = b"\xff\xd8"
_FRAME_MARKERS = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC} | {0xF7})
"""Start of a frame in JPEG (ITU-T T.81, B.1.1.3) and in JPEG-LS (T.87)."""


class Declared(NamedTuple):
    """Size of an image, and the parts that it is cut into."""

    rows: int
    columns: int
    n_components: int
    n_tiles: int


def declared(frame: bytes) -> Declared | None:
    """Return what a JPEG, JPEG-LS or JPEG 2000 image declares, or None where it declares nothing."""
    try:
        if frame.startswith(SOC_SIZ):
            return _of_jpeg_2000(frame)
        return _of_jpeg(frame) if frame.startswith(SOI) else None
    except struct.error:
        return None


def _of_jpeg_2000(frame: bytes) -> Declared | None:
    x, y, x0, y0, tile_x, tile_y, tile_x0, tile_y0, n_components = struct.unpack_from(">8IH", frame, 8)
    if not (tile_x and tile_y):
        return None
    n_tiles = -((tile_x0 - x) // tile_x) * -((tile_y0 - y) // tile_y)
    return Declared(y - y0, x - x0, n_components, n_tiles)


def _of_jpeg(frame: bytes) -> Declared | None:
    at = len(SOI)
    while True:
        fill, marker, length = struct.unpack_from(">BBH", frame, at)
        if fill != 0xFF:
            return None
        if marker in _FRAME_MARKERS:
            rows, columns, n_components = struct.unpack_from(">HHB", frame, at + 5)
            return Declared(rows, columns, n_components, 1)
        at += 2 + length
