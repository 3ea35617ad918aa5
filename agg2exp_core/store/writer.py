"""The one writer of arrays: chunks first, metadata last, so that nobody sees half of an array."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import Store as ZarrStore
from zarr.codecs import BloscCodec, ZstdCodec

from agg2exp_core.errors import StoreError
from agg2exp_core.store.keys import METADATA, json_ready
from agg2exp_core.store.nodes import ATTRIBUTES, UNIT_PLANES, MetadataLast, checksum
from agg2exp_core.store.root import Root
from agg2exp_core.store.shards import ShardWriter, shard_shape

CHUNK_SIDE, THIN_SIDE = 192, 384
"""Longest side of a chunk in voxels, and of one of `UNIT_PLANES` planes; Y and Z are cut evenly, so that no
chunk is mostly padding."""


def layout(
    shape: tuple[int, ...], itemsize: int, *, streamed: bool
) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    """Return the sides of an array's chunks, and of its shards if its planes stream in.

    Dimensions beyond the last three get chunks of length 1.
    """
    longest, most_planes = (THIN_SIDE, UNIT_PLANES) if streamed else (CHUNK_SIDE, CHUNK_SIDE)
    chunks = [1] * len(shape)
    sides = [math.ceil(n / math.ceil(n / longest)) if n else 1 for n in shape[-3:]]
    if len(sides) == 3:
        sides[0] = min(most_planes, shape[-3])
    chunks[-len(sides) :] = sides
    return tuple(chunks), shard_shape(shape, tuple(chunks), itemsize) if streamed else None


def n_objects(shape: tuple[int, ...], dtype: np.dtype[Any], *, streamed: bool = False) -> int:
    """Return the number of objects that an array takes, its metadata included."""
    chunks, shards = layout(shape, dtype.itemsize, streamed=streamed)
    return 1 + math.prod(math.ceil(n / side) for n, side in zip(shape, shards or chunks, strict=True))


def create_array(
    store: ZarrStore,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    dims: tuple[str, ...],
    own: Mapping[str, Any],
    *,
    streamed: bool = False,
) -> zarr.Array[Any]:
    """Create an array with attributes of its own; if its planes stream in, of thin chunks in shards."""
    chunks, shards = layout(shape, dtype.itemsize, streamed=streamed)
    # Measured: lz4 after a shuffle reads fastest for reals, zstd is smallest for labels.
    reals = BloscCodec(typesize=dtype.itemsize, cname="lz4", clevel=5, shuffle="shuffle")
    return zarr.create_array(
        store,
        shape=shape,
        dtype=dtype,
        chunks=chunks,
        shards=shards,
        compressors=reals if dtype.kind == "f" else ZstdCodec(level=1),
        dimension_names=dims,
        attributes={ATTRIBUTES: dict(own)},
        config={"write_empty_chunks": True},
        overwrite=False,
    )


class HiddenArray:
    """An array on its way: its chunks are written, its metadata held back until it is complete.

    Parameters
    ----------
    root : Root
        The store's root.
    path : str
        Of the array, relative to the root. What is finished there goes, unless shape, type, layout and what
        is known of ours are the same: that is written over, as another writer may be at work on it. It is
        hidden meanwhile if its checksum is not known yet.
    shape : tuple of int
        Of the whole array.
    dtype : dtype
        Of what is stored.
    dims : tuple of str
        Names of its dimensions.
    known : mapping
        What is known beforehand of what is kept under "agg2exp", JSON-ready.
    streamed : bool
        Whether its planes come `UNIT_PLANES` at a time, in order.
    """

    def __init__(
        self,
        root: Root,
        path: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        dims: tuple[str, ...],
        known: Mapping[str, Any],
        *,
        streamed: bool = False,
    ) -> None:
        self._root, self._path = root, path
        before = root.get_json(f"{path}/{METADATA}")
        with root.guard(path):
            self._store = MetadataLast(root.at(path))
            self._array = create_array(self._store, shape, dtype, dims, known, streamed=streamed)
        self._shards = ShardWriter(root.at(path), self._array) if streamed else None
        if before is None:
            return
        new = json.loads(self._store.held[METADATA].to_bytes())
        alike = all(before.get(key) == new[key] for key in ("shape", "data_type", "chunk_grid", "codecs"))
        if not alike or not known.items() <= before["attributes"].get(ATTRIBUTES, {}).items():
            root.delete_tree(path)
        elif "checksum" not in known:
            root.delete(f"{path}/{METADATA}")

    def write(self, values: NDArray[Any], start: int = 0) -> None:
        """Write planes ``[..., n, Y, Z]`` from the plane `start`, in order; or, not streamed, all values."""
        with self._root.guard(self._path):
            if self._shards is None:
                self._array[...] = values
            else:
                self._shards.write(values, start)

    def publish(self) -> None:
        """Write the metadata, as all of what is ours was known beforehand."""
        with self._root.guard(self._path):
            self._store.publish()

    def publish_alone(self, own: Mapping[str, Any]) -> None:
        """Write the metadata with all that is ours, unless another writer has.

        Raises
        ------
        StoreError
            If another writer made another array visible here meanwhile: the chunks may be of both, so that
            none is to be seen.
        """
        with self._root.guard(self._path):
            self._array.update_attributes({ATTRIBUTES: own})
            self._store.publish(overwrite=False)
        document = self._root.get_json(f"{self._path}/{METADATA}")
        if document is None:  # a later writer has hidden it, and will publish it
            return
        published = document["attributes"][ATTRIBUTES]
        if any(published[name] != own[name] for name in ("identity", "checksum")):
            self._root.delete(f"{self._path}/{METADATA}")
            raise StoreError(
                f"{self._root.uri}/{self._path}",
                got="another result, which another run wrote at the same time",
                allowed="one run at a time that explains a scan",
                remedy="end the other run, and run this one again",
            )


def put_array(
    root: Root, path: str, values: NDArray[Any], dims: tuple[str, ...], attributes: Mapping[str, Any]
) -> None:
    """Write an array as a whole, with attributes and checksum under "agg2exp"."""
    own = {**json_ready(attributes), "checksum": checksum(values)}
    array = HiddenArray(root, path, values.shape, values.dtype, dims, own)
    array.write(values)
    array.publish()
