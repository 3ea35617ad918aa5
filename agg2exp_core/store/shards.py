"""Shards: the chunks of neighbouring planes in one object each, which grows while they arrive.

Zarr writes a shard from an array as large as it is, or reads and writes it anew for each part. Here chunks
are laid into it one after the other, and its index last: memory holds the chunks of a few planes. Zarr reads
a shard into an array of its own, and copies from that; here each chunk is read as if it were an object.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, cast

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import ByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.abc.store import Store as ZarrStore
from zarr.api.asynchronous import create_array
from zarr.codecs import Crc32cCodec
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import LocalStore, MemoryStore, WrapperStore

from agg2exp_core.store.keys import METADATA

_MOST_SHARDS = 7
"""Objects of an attribution beside its metadata, at most."""
_LEAST_BYTES = 2**24
"""Of a shard before compression, unless it holds the whole array."""
_EMPTY = np.uint64(2**64 - 1)
"""In the index of a shard: no such chunk."""
_CHECKSUM_BYTES = 4
"""Of CRC-32C, behind the index of a shard."""


def shard_shape(shape: tuple[int, ...], chunks: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return the sides of a shard ``[X, Y, Z]`` or ``[C, X, Y, Z]``: some chunks of X, all of others."""
    n_chunks = [-(-n // side) for n, side in zip(shape, chunks, strict=True)]
    whole = [n * side for n, side in zip(n_chunks, chunks, strict=True)]
    of_one = itemsize * int(np.prod(whole)) // n_chunks[-3]
    n_rows = max(-(-n_chunks[-3] // _MOST_SHARDS), -(-_LEAST_BYTES // of_one))
    whole[-3] = min(n_rows, n_chunks[-3]) * chunks[-3]
    return tuple(whole)


class ShardWriter:
    """Writes the planes of a sharded array in order, those of one row of chunks at a time.

    Parameters
    ----------
    store : ZarrStore
        That of the array.
    array : zarr.Array
        A sharded array; a shard spans all axes but the third last. Of it only metadata are used.

    Notes
    -----
    On a local disk a shard grows in its place: no reader finds it before the array's metadata are there, and
    of two writers of the same values each writes the same bytes. Elsewhere it grows in a file without a name
    in the folder for temporary files, and is stored as a whole.
    """

    def __init__(self, store: ZarrStore, array: zarr.Array[Any]) -> None:
        if array.shards is None:
            raise ValueError("the array has no shards")
        self._store, self._array = store, array
        self._n_planes = array.shards[-3]
        self._n_chunks = tuple(s // c for s, c in zip(array.shards, array.chunks, strict=True))
        self._encoded: dict[str, Buffer] = {}
        self._encoder = zarr.create_array(
            MemoryStore(self._encoded),
            shape=array.shape,
            dtype=array.dtype,
            chunks=array.chunks,
            compressors=array.compressors,
            config={"write_empty_chunks": True},
        )

    def write(self, values: NDArray[Any], start: int) -> None:
        """Write planes ``[..., n, Y, Z]`` from the plane `start`."""
        if start % self._n_planes == 0:
            self._begin(start // self._n_planes)
        stop = start + values.shape[-3]
        self._encoder[..., start:stop, :, :] = values
        for place, chunk in self._taken():
            self._index[place] = self._file.tell(), len(chunk)
            self._file.write(chunk.to_bytes())
        if stop % self._n_planes == 0 or stop == self._array.shape[-3]:
            self._finish()

    def _taken(self) -> Iterator[tuple[tuple[int, ...], Buffer]]:
        """Yield the encoded chunks, in C order, each with its place in the shard; they are forgotten."""
        places = {tuple(map(int, key.split("/")[1:])): key for key in self._encoded if key != METADATA}
        for place in sorted(places):
            inside = tuple(i % n for i, n in zip(place, self._n_chunks, strict=True))
            yield inside, self._encoded.pop(places[place])

    def _begin(self, number: int) -> None:
        place = [0] * len(self._n_chunks)
        place[-3] = number
        self._key = self._array.metadata.encode_chunk_key(tuple(place))
        self._index = np.full((*self._n_chunks, 2), _EMPTY, "<u8")
        if isinstance(self._store, LocalStore):
            path = self._store.root / self._key
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = cast(BinaryIO, os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b"))
        else:
            self._file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 (closed below)
        self._closed = weakref.finalize(self, self._file.close)  # of a run that fails, too

    def _finish(self) -> None:
        self._file.write(sync(_encode_index(self._index)))
        if isinstance(self._store, LocalStore):
            self._file.truncate()  # what a killed writer left there may be longer
        else:
            self._file.seek(0)
            value = default_buffer_prototype().buffer.from_bytes(self._file.read())
            sync(self._store.set(self._key, value))
        self._closed()


def chunks_of(array: zarr.Array[Any]) -> zarr.Array[Any]:
    """Return a sharded array, opened for reading, as an array whose chunks are objects."""
    document = json.loads(array.metadata.to_buffer_dict(default_buffer_prototype())[METADATA].to_bytes())
    (sharding,) = document["codecs"]
    inner = sharding["configuration"]
    if array.shards is None or inner["index_location"] != "end":
        raise ValueError("the array has not the shards of an attribution")
    document |= {
        "codecs": inner["codecs"],
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": inner["chunk_shape"]}},
    }
    n_chunks = tuple(s // c for s, c in zip(array.shards, array.chunks, strict=True))
    return zarr.open_array(ChunkStore(array.store_path.store, document, n_chunks), mode="r", zarr_format=3)


class ChunkStore(WrapperStore[ZarrStore]):
    """Shows each chunk of a sharded array under a key of its own.

    Parameters
    ----------
    store : ZarrStore
        That of the array.
    document : mapping
        The metadata of an array with the same chunks and no shards.
    n_chunks : tuple of int
        Chunks of a shard along each axis.
    """

    def __init__(self, store: ZarrStore, document: Mapping[str, Any], n_chunks: tuple[int, ...]) -> None:
        super().__init__(store)
        self._document, self._n_chunks = document, n_chunks
        self._indexes: dict[str, asyncio.Task[NDArray[np.uint64] | None]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to other processes without the indexes that were read."""
        return ChunkStore, (self._store, self._document, self._n_chunks)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return the metadata or a chunk."""
        if key == METADATA:
            return prototype.buffer.from_bytes(json.dumps(self._document).encode())
        place = tuple(map(int, key.split("/")[1:]))
        shard = "/".join(["c", *(str(i // n) for i, n in zip(place, self._n_chunks, strict=True))])
        if shard not in self._indexes:
            self._indexes[shard] = asyncio.ensure_future(self._read_index(shard))
        index = await self._indexes[shard]
        inside = tuple(i % n for i, n in zip(place, self._n_chunks, strict=True))
        if index is None or index[inside][0] == _EMPTY:
            return None
        offset, length = (int(n) for n in index[inside])
        return await self._store.get(shard, prototype, RangeByteRequest(offset, offset + length))

    async def _read_index(self, shard: str) -> NDArray[np.uint64] | None:
        shape = (*self._n_chunks, 2)
        n_bytes = 8 * int(np.prod(shape)) + _CHECKSUM_BYTES
        stored = await self._store.get(shard, default_buffer_prototype(), SuffixByteRequest(n_bytes))
        return None if stored is None else await _decode_index(stored, shape)


async def _encode_index(index: NDArray[np.uint64]) -> bytes:
    """Return an index of a shard as Zarr's usual codecs for it write it: little-endian, then CRC-32C."""
    encoded: dict[str, Buffer] = {}
    array = await _index_array(encoded, index.shape)
    await array.setitem(..., index)
    return encoded[array.metadata.encode_chunk_key((0,) * index.ndim)].to_bytes()


async def _decode_index(stored: Buffer, shape: tuple[int, ...]) -> NDArray[np.uint64]:
    """Return an index of a shard: offset and length by chunk.

    Raises
    ------
    ValueError
        If its bytes are not those that were written.
    """
    encoded: dict[str, Buffer] = {}
    array = await _index_array(encoded, shape)
    encoded[array.metadata.encode_chunk_key((0,) * len(shape))] = stored
    return np.asarray(await array.getitem(...))


async def _index_array(encoded: dict[str, Buffer], shape: tuple[int, ...]) -> zarr.AsyncArray[Any]:
    return await create_array(
        MemoryStore(encoded),
        shape=shape,
        dtype="<u8",
        chunks=shape,
        compressors=Crc32cCodec(),
        config={"write_empty_chunks": True},
    )
