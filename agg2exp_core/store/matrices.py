"""``importance.zarr``: the matrices over scans, added in chunks along `scan`, switched in one step.

Readers find all groups and arrays in one document, the metadata of the root, which holds those of all below
it. So one write of it switches all of a label, on a file system and on S3. What it refers to never changes:

- Scans that are added lie beyond the shape that it tells. The last chunk grows, and what was in it stays.
- Where scans change or go, all chunks are written anew under other keys. Zarr has several ways to name a
  chunk; each such generation takes the next. The one before stays, for those who have opened it.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import dask.array as da
import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.storage import StorePath

from agg2exp_core.errors import StoreError, unknown_name
from agg2exp_core.store.keys import METADATA, check_name, json_ready
from agg2exp_core.store.nodes import MetadataLast, with_plain_texts
from agg2exp_core.store.root import Root

PLACE = "importance.zarr"
SCAN, GLOBAL, ROWS, IDENTITY = "scan", "global", "rows", "identity"
CHUNK_BYTES = 2**22
"""Of the largest variable in a chunk, about: adding one scan writes no more of each variable again."""
_MOST_SCANS, _MOST_NAMES = 1024, 2**14
"""Scans of a chunk at most; of a chunk of their names and identities."""
_KEYS = (("default", "/"), ("default", "."), ("v2", "."))
"""How chunks are named, by generation: ``c/0/1``, ``c.0.1``, ``0.1``."""
_NAMED = (re.compile(r"c"), re.compile(r"c\.[\d.]+"), re.compile(r"[\d.]+"))
"""What lies beside the metadata of an array, by generation."""
_LAYOUT = ("data_type", "chunk_grid", "chunk_key_encoding", "codecs", "dimension_names")
"""What must be the same of an array for rows to be added to it."""


@dataclass(frozen=True, eq=False)
class Matrices:
    """The matrices of a label as they are to be seen.

    Parameters
    ----------
    root : Root
        The store's root.
    label : str
        The group; its summary is the group ``<label>/global``.
    nodes : mapping
        Metadata of the nodes of all labels by path, as one read told them.
    """

    root: Root
    label: str
    nodes: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, root: Root, label: str) -> Matrices:
        """Return the matrices of a label, there or not yet."""
        told = root.get_json(f"{PLACE}/{METADATA}") or {}
        nodes = told.get("consolidated_metadata", {}).get("metadata", {})
        return cls(root, check_name("label", label), nodes)

    def open(self, *group: str) -> xr.Dataset:
        """Return a group, lazily: nothing but coordinates is read.

        Raises
        ------
        StoreError
            If there is none.
        """
        path = "/".join((self.label, *group))
        if path not in self.nodes:
            labels = sorted(path for path in self.nodes if "/" not in path)
            where, none = f"{self.root.uri}/{PLACE}", "no label yet: explain scans first"
            raise unknown_name(where, self.label, labels, kind=StoreError, none=none)
        with self.root.guard(PLACE):
            reader = self.root.reader(PLACE)
            opened = xr.open_zarr(reader, group=path, chunks=None, consolidated=True, zarr_format=3)
            return with_plain_texts(opened)

    def identities(self) -> dict[str, str]:
        """Return the identities of the rows that are held, by scan id, in their order.

        Nothing for matrices that hold none: those of a table, or of release 0.1.0.
        """
        if f"{self.label}/{ROWS}" not in self.nodes:
            return {}
        return dict(zip(self._texts(SCAN), self._texts(ROWS, IDENTITY), strict=True))

    def _texts(self, *path: str) -> list[str]:
        place = "/".join((self.label, *path))
        with self.root.guard(PLACE):
            where = StorePath(self.root.reader(PLACE), place)
            return list(map(str, zarr.Array.from_dict(where, dict(self.nodes[place]))[...].tolist()))  # type: ignore[union-attr]

    def node(self, *path: str) -> Mapping[str, Any] | None:
        """Return the metadata of a node of this label, or None."""
        return self.nodes.get("/".join((self.label, *path)))


class MatricesWriter:
    """Lays out what the matrices of a label shall be; nothing of it is seen before `publish`.

    One at a time (`agg2exp_core.store.locks.reducing`).

    Parameters
    ----------
    held : Matrices
        What is seen now.
    like : Dataset with dimensions (scan, ...)
        Whose variables, types, attributes and coordinates but `scan` the matrices shall have.
    n_scans : int
        How many scans there will be.
    n_kept : int
        How many scans at the front stay as they are held, where `like` has the coordinates of what is held.
    """

    def __init__(self, held: Matrices, like: xr.Dataset, n_scans: int, n_kept: int = 0) -> None:
        self._held, self._root, self._n_scans = held, held.root, n_scans
        self._like = like.transpose(SCAN, ...)
        self._chunk = _chunk(like)
        self._n_kept, self._generation = n_kept, _generation(held.node(SCAN))
        self._lay_out()
        if not n_kept or not self._continues():
            self._n_kept, self._generation = 0, self._generation + 1
            self._lay_out()
            with self._root.guard(PLACE):
                for name, field in self._like.variables.items():
                    if SCAN not in field.dims:
                        self._arrays[str(name)][...] = _stored(field.values)

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Yield first and last row of the blocks that `write` wants, whole chunks."""
        for start in range(self._first(self._chunk), self._n_scans, self._chunk):
            yield start, min(start + self._chunk, self._n_scans)

    def write(self, start: int, block: xr.Dataset) -> None:
        """Write the scans of a block from a row on; rows that are kept are the same in it."""
        with self._root.guard(PLACE):
            for name, field in block.transpose(SCAN, ...).variables.items():
                if SCAN in field.dims and name != SCAN:
                    self._arrays[str(name)][start : start + block.sizes[SCAN]] = field.values

    def variable(self, name: str) -> da.Array:
        """Return a variable of what was written, lazily, in blocks along its first dimension, `scan`."""
        array = self._arrays[name]
        unique = f"{self._held.label}-{name}-{uuid.uuid4().hex}"
        return cast(da.Array, da.from_array(array, chunks=array.chunks, name=unique))  # type: ignore[no-untyped-call]

    def publish(self, scans: Sequence[str], identities: Sequence[str], summary: xr.Dataset) -> None:
        """Let the matrices be seen, with their summary, in place of what was there.

        Parameters
        ----------
        scans, identities : sequence of str
            Of all rows in order; an identity is empty where none is known.
        summary : Dataset with dimensions (target, roi)
            Over the scans.
        """
        with self._root.guard(PLACE):
            for path, attributes in ((ROWS, {}), (GLOBAL, summary.attrs)):
                self._group(path, attributes)
            names = xr.Variable(SCAN, np.array([""]))
            rows = self._array(f"{ROWS}/{IDENTITY}", names, [], self._generation)
            first = self._first(_MOST_NAMES)
            for array, texts in ((self._arrays[SCAN], scans), (rows, identities)):
                array[first:] = _stored(np.array(texts[first:], dtype=str))
            for name, field in summary.variables.items():
                before = _generation(self._held.node(GLOBAL, str(name)))
                stays = self._n_kept and name in summary.coords and before >= 0
                path, beside = f"{GLOBAL}/{name}", _beside(summary, str(name))
                array = self._array(path, field, beside, before + (not stays))
                if not stays:
                    array[...] = _stored(field.values)
            self._pending.publish()
        self._switch()
        if not self._n_kept:
            self._forget()

    def _first(self, chunk: int) -> int:
        """Return the first row of the chunk that rows are added to."""
        return self._n_kept - self._n_kept % chunk

    def _lay_out(self) -> None:
        self._pending = MetadataLast(self._root.at(f"{PLACE}/{self._held.label}"))
        self._group("", self._like.attrs)
        self._arrays = {
            str(name): self._array(str(name), field, _beside(self._like, str(name)), self._generation)
            for name, field in self._like.variables.items()
        }

    def _continues(self) -> bool:
        """Say whether rows can be added to what is held."""
        for name, array in self._arrays.items():
            told, before = array.metadata.to_dict(), self._held.node(name) or {}
            n_fixed = int(SCAN in self._like.variables[name].dims)
            if any(json_ready(told[key]) != before.get(key) for key in _LAYOUT):
                return False
            if list(array.shape[n_fixed:]) != before["shape"][n_fixed:]:
                return False
        return True

    def _group(self, path: str, attributes: Mapping[Any, Any]) -> None:
        told = json_ready({str(name): value for name, value in attributes.items()})
        zarr.create_group(self._pending, path=path or None, attributes=told, zarr_format=3)

    def _array(
        self, path: str, field: xr.Variable, beside: Sequence[str], generation: int
    ) -> zarr.Array[Any]:
        """Create an array, hidden as yet, in chunks along `scan`."""
        is_text = field.dtype.kind in "OUT"
        n_scans = _MOST_NAMES if is_text else self._chunk
        kind, separator = _KEYS[generation % len(_KEYS)]
        return zarr.create_array(
            self._pending,
            name=path,
            shape=tuple(self._n_scans if dim == SCAN else field.sizes[dim] for dim in field.dims),
            chunks=tuple(n_scans if dim == SCAN else max(field.sizes[dim], 1) for dim in field.dims),
            dtype=np.dtypes.StringDType() if is_text else field.dtype,
            fill_value=np.nan if field.dtype.kind == "f" else None,
            dimension_names=list(map(str, field.dims)),
            attributes={"coordinates": " ".join(beside)} if beside else {},
            chunk_key_encoding={"name": kind, "separator": separator},
            overwrite=False,
        )

    def _switch(self) -> None:
        """Write the metadata of the root: what readers see."""
        label, held = self._held.label, self._pending.held
        new = {
            f"{label}/{key}".removesuffix(f"/{METADATA}"): json.loads(held[key].to_bytes()) for key in held
        }
        others = {path: node for path, node in self._held.nodes.items() if path.partition("/")[0] != label}
        inline = {"kind": "inline", "must_understand": False, "metadata": others | new}
        document = {"zarr_format": 3, "node_type": "group", "attributes": {}, "consolidated_metadata": inline}
        self._root.put_json(f"{PLACE}/{METADATA}", document)

    def _forget(self) -> None:
        """Remove the chunks of the generation before the last, over which the next one will write."""
        pattern = _NAMED[(self._generation + 1) % len(_KEYS)]
        for name in self._arrays:
            path = f"{PLACE}/{self._held.label}/{name}"
            going = [child for child in self._root.children(path) if pattern.fullmatch(child)]
            if "c" in going:
                self._root.delete_folder(f"{path}/c")
            else:
                self._root.delete_many([f"{path}/{child}" for child in going])


def _chunk(like: xr.Dataset) -> int:
    """Return how many scans a chunk holds."""
    n_bytes = [field.nbytes for field in like.data_vars.values() if SCAN in field.dims]
    largest = max(n_bytes, default=0) // max(like.sizes[SCAN], 1)
    return int(np.clip(CHUNK_BYTES // max(largest, 1), 1, _MOST_SCANS))


def _beside(dataset: xr.Dataset, name: str) -> list[str]:
    """Return the coordinates of a variable that are no dimensions, as xarray wants them told."""
    if name in dataset.coords:
        return []
    dims = set(dataset[name].dims)
    return sorted(
        str(c) for c, coord in dataset.coords.items() if c not in dataset.dims and set(coord.dims) <= dims
    )


def _stored(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(np.dtypes.StringDType()) if values.dtype.kind in "OUT" else values


def _generation(node: Mapping[str, Any] | None) -> int:
    """Return the generation of an array's chunks; before the first one, -1."""
    if node is None:
        return -1
    encoding = node["chunk_key_encoding"]
    default = "/" if encoding["name"] == "default" else "."
    return _KEYS.index((encoding["name"], encoding.get("configuration", {}).get("separator", default)))
