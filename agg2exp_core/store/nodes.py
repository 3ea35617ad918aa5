"""Zarr nodes that are visible only once they are complete: data first, metadata last."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import dask.array as da
import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.abc.codec import BytesBytesCodec
from zarr.abc.store import Store as ZarrStore
from zarr.codecs import BloscCodec, ZstdCodec

from agg2exp_core.store.half import SCALES, decoded
from agg2exp_core.store.metadata_last import MetadataLast
from agg2exp_core.store.naming import json_ready
from agg2exp_core.store.root import METADATA, Root

CHUNK_SIDE = 192
"""Longest side of a chunk in voxels; an axis is cut evenly, so that no chunk is mostly padding."""
READ_PLANES = 128
"""Planes of a Dask task, about: what a chunk costs beyond its bytes is paid together."""
ATTRIBUTES = "agg2exp"
"""The attribute under which everything that is ours lies."""


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


def put_array(
    root: Root, path: str, values: NDArray[Any], dims: tuple[str, ...], attributes: Mapping[str, Any]
) -> dict[str, Any]:
    """Write an array as one node; something else that was there goes first.

    Where nothing is finished yet, chunks are written over what is there: another writer may be at work
    on the same unit, with the same bytes.

    Parameters
    ----------
    root : Root
        The store's root.
    path : str
        Of the array, relative to the root.
    values : ndarray
        Its voxels; dimensions beyond the last three get chunks of length 1.
    dims : tuple of str
        Names of its dimensions.
    attributes : mapping
        Kept under "agg2exp", beside the checksum.

    Returns
    -------
    dict
        What is kept under "agg2exp".
    """
    own = {**json_ready(attributes), "checksum": checksum(values)}
    before = root.get_json(f"{path}/{METADATA}")
    if before and (before["shape"], before["attributes"][ATTRIBUTES]) != (list(values.shape), own):
        root.delete_tree(path)
    with root.guard(path):
        store = MetadataLast(root.at(path))
        array = create_array(store, values.shape, values.dtype, CHUNK_SIDE, dims, own)
        array[...] = values
        store.publish()
    return own


def create_array(
    store: ZarrStore,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    most_planes: int,
    dims: tuple[str, ...],
    own: Mapping[str, Any],
) -> zarr.Array[Any]:
    """Create an array whose chunks hold at most so many planes, with attributes of its own."""
    chunks = [1] * len(shape)
    sides = [math.ceil(n / math.ceil(n / CHUNK_SIDE)) if n else 1 for n in shape[-3:]]
    if len(sides) == 3:
        sides[0] = min(most_planes, shape[-3])
    chunks[-len(sides) :] = sides
    return zarr.create_array(
        store,
        shape=shape,
        dtype=dtype,
        chunks=tuple(chunks),
        compressors=_compressor(dtype),
        dimension_names=dims,
        attributes={ATTRIBUTES: dict(own)},
        config={"write_empty_chunks": True},
        overwrite=False,
    )


def _compressor(dtype: np.dtype[Any]) -> BytesBytesCodec:
    """Return what was measured to read fastest for reals, and to be smallest for labels."""
    if dtype.kind == "f":
        return BloscCodec(typesize=dtype.itemsize, cname="lz4", clevel=5, shuffle="shuffle")
    return ZstdCodec(level=1)


def put_group(root: Root, path: str, attributes: Mapping[str, Any] | None = None) -> None:
    """Write a group's metadata; without attributes, only if there is no such group yet."""
    document = {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes or {})}
    root.put_json(f"{path}/{METADATA}", document, overwrite=attributes is not None)


def put_datasets(root: Root, path: str, datasets: Mapping[str, xr.Dataset]) -> None:
    """Write xarray datasets as one node: group by relative path, "" the outermost."""
    root.delete_tree(path)
    with root.guard(path):
        store = MetadataLast(root.at(path))
        for group, dataset in datasets.items():
            _with_texts(dataset, lambda text: text.astype(np.dtypes.StringDType())).to_zarr(
                store, group=group or None, mode="a", zarr_format=3, consolidated=False
            )
        store.publish()


def consolidate(root: Root, path: str, *, without: str | None = None) -> None:
    """Let a group's metadata hold those of all nodes under it, so that one read opens any of them.

    Parameters
    ----------
    root : Root
        The store's root.
    path : str
        Of the group.
    without : str, optional
        A child that is about to be written anew, and must not be seen meanwhile.
    """

    def below(prefix: str, skip: str | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, document in root.nodes(f"{path}/{prefix}".rstrip("/")).items():
            if name != skip:
                yield f"{prefix}{name}", document
                if document["node_type"] == "group":
                    yield from below(f"{prefix}{name}/")

    inline = {"kind": "inline", "must_understand": False, "metadata": dict(below("", without))}
    document = {"zarr_format": 3, "node_type": "group", "attributes": {}, "consolidated_metadata": inline}
    root.put_json(f"{path}/{METADATA}", document)


def get_dataset(root: Root, path: str) -> xr.Dataset | None:
    """Return a dataset, loaded, or None if there is none."""
    if root.get(f"{path}/{METADATA}") is None:
        return None
    with root.guard(path), xr.open_zarr(root.reader(path), chunks=None, consolidated=False) as dataset:
        return _with_texts(dataset.load(), lambda text: np.array(text.tolist(), dtype=str))


def _with_texts(dataset: xr.Dataset, convert: Callable[[NDArray[Any]], NDArray[Any]]) -> xr.Dataset:
    """Return the dataset with its text coordinates converted; Zarr v3 has no text of fixed width."""
    texts = {name: item for name, item in dataset.coords.items() if item.dtype.kind in "OUT"}
    return dataset.assign_coords({name: (item.dims, convert(item.values)) for name, item in texts.items()})


def open_array(root: Root, path: str) -> zarr.Array[Any]:
    """Return a finished array, for reading.

    Raises
    ------
    StoreError
        If there is none.
    """
    with root.guard(path):
        return zarr.open_array(root.reader(path), mode="r", zarr_format=3)


def read_array(root: Root, path: str) -> NDArray[Any]:
    """Return the voxels of a finished array."""
    array = open_array(root, path)
    with root.guard(path):
        values = np.asarray(array[...])
    return decoded(values, scales) if (scales := _scales(array)) else values


def lazy_array(root: Root, path: str) -> da.Array:
    """Return a finished array for Dask, one task per chunk, or per cube of thin chunks."""
    array = open_array(root, path)
    name = f"{path}-{_own(array)['checksum']}"
    thickness = array.chunks[-3]
    planes = thickness * max(READ_PLANES // thickness, 1)
    chunks = (*array.chunks[:-3], planes, *array.chunks[-2:])
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
