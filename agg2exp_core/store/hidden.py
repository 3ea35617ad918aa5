"""An array on its way: its chunks are written, its metadata held back until it is complete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agg2exp_core.errors import StoreError
from agg2exp_core.store.half import SCALES, UNIT_PLANES, decoded, encoded
from agg2exp_core.store.metadata_last import MetadataLast
from agg2exp_core.store.naming import json_ready
from agg2exp_core.store.nodes import ATTRIBUTES, combined_checksum, create_array
from agg2exp_core.store.root import METADATA, Root
from agg2exp_core.store.stamps import now


class HiddenArray:
    """An array of reals that is written a block of planes at a time, and seen by nobody before `publish`.

    Parameters
    ----------
    root : Root
        The store's root.
    path : str
        Of the array, relative to the root. A finished array of the same shape and identity that is there
        is hidden and written over; anything else goes.
    shape : tuple of int
        ``(X, Y, Z)`` or ``(C, X, Y, Z)``.
    dims : tuple of str
        Names of its dimensions.
    identity : str
        Of the result.
    dtype : {"float32", "float16"}
        How values are stored; float16 with a scale for each block.
    """

    def __init__(
        self,
        root: Root,
        path: str,
        shape: tuple[int, ...],
        dims: tuple[str, ...],
        identity: str,
        dtype: str = "float32",
    ) -> None:
        self._root, self._path, self._identity = root, path, identity
        self._scales: list[float] | None = [] if dtype == "float16" else None
        before = root.get_json(f"{path}/{METADATA}")
        with root.guard(path):
            self._store = MetadataLast(root.at(path))
            own = {"identity": identity}
            self._array = create_array(self._store, shape, np.dtype(dtype), UNIT_PLANES, dims, own)
        if before is None:
            return
        grid = before.get("chunk_grid", {}).get("configuration", {}).get("chunk_shape")
        there = before["shape"], before["data_type"], before["attributes"][ATTRIBUTES]["identity"], grid
        if there == (list(shape), dtype, identity, list(self._array.chunks)):
            root.delete(f"{path}/{METADATA}")
        else:
            root.delete_tree(path)

    def write(self, start: int, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Write the next planes ``[n, Y, Z]`` or ``[C, n, Y, Z]``, whole chunks; return what will be read."""
        stored: NDArray[Any] = block
        if self._scales is not None:
            stored, scale = encoded(block)
            self._scales.append(scale)
            block = decoded(stored, [scale])
        with self._root.guard(self._path):
            self._array[..., start : start + block.shape[-3], :, :] = stored
        return block

    def publish(self, info: Mapping[str, Any], digests: Sequence[bytes]) -> dict[str, Any]:
        """Write the metadata, last of all; return what is kept under "agg2exp".

        Parameters
        ----------
        info : mapping
            What is told about the result, JSON-ready.
        digests : sequence of bytes
            SHA-256 of each channel.

        Raises
        ------
        StoreError
            If another writer made another array visible here meanwhile: the chunks may be of both, so that
            none is to be seen.
        """
        told: dict[str, Any] = {"identity": self._identity, "info": info, "finished": now()}
        if self._scales is not None:
            told |= {SCALES: self._scales}
        own = {**json_ready(told), "checksum": combined_checksum(digests)}
        with self._root.guard(self._path):
            self._array.update_attributes({ATTRIBUTES: own})
            self._store.publish(overwrite=False)
        self._require_own(own)
        return own

    def _require_own(self, own: Mapping[str, Any]) -> None:
        """Refuse an array of which another writer may have written chunks."""
        document = self._root.get_json(f"{self._path}/{METADATA}")
        if document is None:  # a later writer has hidden it, and will publish it
            return
        there = document["attributes"][ATTRIBUTES]
        if any(there[name] != own[name] for name in ("identity", "checksum")):
            self._root.delete(f"{self._path}/{METADATA}")
            raise StoreError(
                f"{self._root.uri}/{self._path}",
                got="another result, which another run wrote at the same time",
                allowed="one run at a time that explains a scan",
                remedy="end the other run, and run this one again",
            )
