"""Zarr nodes: how they are laid out, how they appear whole (data first, metadata last), how they are read."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import dask.array as da
import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.abc.store import ByteRequest
from zarr.abc.store import Store as ZarrStore
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.core.sync import sync
from zarr.storage import WrapperStore

from agg2exp_core.store.keys import METADATA
from agg2exp_core.store.root import Root
from agg2exp_core.store.shards import chunks_of

READ_BYTES = 2**24
"""Of a Dask task, about: what a chunk costs beyond its bytes is paid together."""
UNIT_PLANES = 16
"""Planes of a chunk of an attribution: what is buffered for each class while its planes arrive, and
what shares a scale."""
ATTRIBUTES = "agg2exp"
"""The attribute under which everything that is ours lies."""
SCALES = "scales"
"""What is ours of an array in float16: a scale for each `UNIT_PLANES` planes of the first spatial axis."""


def checksum(values: NDArray[Any]) -> str:
    """Return the SHA-256 of an array's bytes in C order, as hexadecimal digits.

    Of ``[C, X, Y, Z]`` it is that of the channels' own digests, one after the other: so it can be taken
    while planes of all channels arrive together.
    """
    channels = values if values.ndim == 4 else values[None]
    return combined_checksum([hashlib.sha256(np.ascontiguousarray(c).data).digest() for c in channels])


def combined_checksum(digests: Sequence[bytes]) -> str:
    """Return the checksum of an array from the SHA-256 digests of its channels."""
    return (digests[0] if len(digests) == 1 else hashlib.sha256(b"".join(digests)).digest()).hex()


def encoded(block: NDArray[np.float32]) -> tuple[NDArray[np.float16], float]:
    """Return a block as float16 and its scale, the largest absolute value: no over- or underflow.

    Notes
    -----
    ``scale * stored`` misses a value by at most ``2^-12`` of the scale.
    """
    peak = float(np.abs(block).max(initial=0.0))
    scale = peak if np.isfinite(peak) and peak > 0 else 1.0
    return (block / np.float32(scale)).astype(np.float16), scale


def decoded(stored: NDArray[np.float16], scales: Sequence[float]) -> NDArray[np.float32]:
    """Return the values of planes ``[..., n, Y, Z]``, the first of which begins a block."""
    of_planes = np.repeat(np.asarray(scales, np.float32), UNIT_PLANES)[: stored.shape[-3]]
    return stored.astype(np.float32) * of_planes[:, None, None]


class MetadataLast(WrapperStore[ZarrStore]):
    """Holds back every metadata document until `publish`, and sees none but those; chunks pass through."""

    def __init__(self, store: ZarrStore) -> None:
        super().__init__(store)
        self.held: dict[str, Buffer] = {}

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return a document that is held back, or a chunk."""
        return self.held.get(key) if _is_metadata(key) else await super().get(key, prototype, byte_range)

    async def exists(self, key: str) -> bool:
        """Say whether a key is there, as this store sees it."""
        return key in self.held if _is_metadata(key) else await super().exists(key)

    async def set(self, key: str, value: Buffer) -> None:
        """Hold back a document, or write a chunk."""
        if _is_metadata(key):
            self.held[key] = value
        else:
            await super().set(key, value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Do as `set` unless the key is there."""
        if not await self.exists(key):
            await self.set(key, value)

    def publish(self, *, overwrite: bool = True) -> None:
        """Write the metadata documents, the outermost last; without `overwrite`, those that are not there."""
        write = self._store.set if overwrite else self._store.set_if_not_exists
        for key in sorted(self.held, key=lambda key: -key.count("/")):
            sync(write(key, self.held[key]))


def _is_metadata(key: str) -> bool:
    return key.rpartition("/")[2] == METADATA


def put_group(root: Root, path: str, attributes: Mapping[str, Any] | None = None) -> None:
    """Write a group's metadata; without attributes, only if there is no such group yet."""
    document = {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes or {})}
    root.put_json(f"{path}/{METADATA}", document, overwrite=attributes is not None)


def get_dataset(root: Root, path: str) -> xr.Dataset | None:
    """Return a dataset, loaded, or None if there is none."""
    if root.get(f"{path}/{METADATA}") is None:
        return None
    with root.guard(path), xr.open_zarr(root.reader(path), chunks=None, consolidated=False) as dataset:
        return with_plain_texts(dataset.load())


def with_plain_texts(dataset: xr.Dataset) -> xr.Dataset:
    """Return the dataset with coordinates of fixed width where they are texts; Zarr v3 has no such texts."""
    texts = {name: item for name, item in dataset.coords.items() if item.dtype.kind in "OUT"}
    plain = {name: (item.dims, np.array(item.values.tolist(), dtype=str)) for name, item in texts.items()}
    return dataset.assign_coords(plain)


def open_array(root: Root, path: str) -> zarr.Array[Any]:
    """Return a finished array for reading, as chunks.

    Raises
    ------
    StoreError
        If there is none.
    """
    with root.guard(path):
        array = zarr.open_array(root.reader(path), mode="r", zarr_format=3)
    return array if array.shards is None else chunks_of(array)


def read_array(root: Root, path: str) -> NDArray[Any]:
    """Return the voxels of a finished array."""
    array = open_array(root, path)
    with root.guard(path):
        values = np.asarray(array[...])
    return decoded(values, scales) if (scales := _scales(array)) else values


def lazy_array(root: Root, path: str) -> da.Array:
    """Return a finished array for Dask, one task for neighbouring chunks along X."""
    array = open_array(root, path)
    name = f"{path}-{_own(array)['checksum']}"
    thickness = array.chunks[-3]
    n_together = max(READ_BYTES // (math.prod(array.chunks) * array.dtype.itemsize), 1)
    chunks = (*array.chunks[:-3], thickness * n_together, *array.chunks[-2:])
    lazy = da.from_array(array, chunks=chunks, name=name)  # type: ignore[no-untyped-call]
    if not (scales := _scales(array)):
        return cast(da.Array, lazy)

    def decode(values: NDArray[np.float16], block_info: Any = None) -> NDArray[np.float32]:
        first = block_info[0]["array-location"][-3][0] // thickness
        return decoded(values, scales[first:])

    return cast(da.Array, lazy.map_blocks(decode, dtype=np.float32, name=f"{name}-decoded"))


def is_intact(root: Root, path: str) -> bool:
    """Return whether an array still has the checksum that it was written with."""
    array = open_array(root, path)
    try:
        values = read_array(root, path)
    except (RuntimeError, ValueError):  # what the codecs raise on bytes that are not theirs
        return False
    return checksum(values) == str(_own(array)["checksum"])


def stored_checksum(root: Root, path: str) -> str:
    """Return the checksum that a finished array was written with."""
    return str(_own(open_array(root, path))["checksum"])


def _scales(array: zarr.Array[Any]) -> Sequence[float]:
    return cast(Sequence[float], _own(array).get(SCALES, ()))


def _own(array: zarr.Array[Any]) -> Mapping[str, Any]:
    return cast(Mapping[str, Any], array.attrs[ATTRIBUTES])
