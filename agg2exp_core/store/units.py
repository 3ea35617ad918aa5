"""Attributions of one scan in the store: a unit a class, and sums where no voxel is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from agg2exp_core.store import nodes, ome
from agg2exp_core.store.naming import check_name
from agg2exp_core.store.place import ScanPlace
from agg2exp_core.store.streaming import PlaneWriter, WriteQueue

DROPPED = "dropped"
"""What sums tell about voxels that retention dropped: when (`at`), when they were `finished`, `checksum`."""


@dataclass(frozen=True)
class Unit:
    """A finished attribution of one class: what exists is complete.

    Parameters
    ----------
    identity : str
        Of the result (see `agg2exp_core.store.identity`).
    checksum : str
        SHA-256 of the float32 bytes in C order; of several channels, that of the channels' digests.
    info : mapping
        What the method says about its result.
    shape : tuple of int
        ``(X, Y, Z)``, or ``(C, X, Y, Z)`` for several channels.
    finished : str or None
        When, as ISO 8601 in UTC; no part of what is compared. None for sums.
    """

    identity: str
    checksum: str
    info: Mapping[str, Any]
    shape: tuple[int, ...]
    finished: str | None = field(default=None, compare=False)

    @property
    def dropped_at(self) -> str | None:
        """Of sums: when retention dropped the voxels that they are of; None if none were kept ever."""
        return self.info[DROPPED]["at"] if DROPPED in self.info else None


@dataclass(frozen=True, eq=False)
class UnitWriter:
    """The attribution of one class on its way into the store; see `ScanStore.unit_writer`."""

    planes: PlaneWriter
    shape: tuple[int, ...]

    def append(self, values: NDArray[np.floating[Any]]) -> None:
        """Take the next planes ``[n, Y, Z]`` or ``[C, n, Y, Z]``; they are copied."""
        self.planes.append(values)

    def finish(self, info: Mapping[str, Any]) -> Unit:
        """Make the unit visible, with what the method says about its result, JSON-ready."""
        kept = self.planes.finish(info)
        return Unit(kept["identity"], kept["checksum"], kept["info"], self.shape, kept["finished"])


class ScanUnits(ScanPlace):
    """What explains the classes of a scan, by label."""

    def unit_writer(
        self,
        label: str,
        class_name: str,
        shape: tuple[int, ...],
        identity: str,
        queue: WriteQueue,
        dtype: str = "float32",
    ) -> UnitWriter:
        """Begin the attribution of one class, whose planes will be appended in order.

        It is visible to any Zarr tool only once it is finished; one of the same name that was there is
        gone at once. Writers of different classes, in any processes or machines, never share a key but
        the metadata of the groups above, which are the same bytes from each.

        Parameters
        ----------
        label : str
            Of the method and its parameters.
        class_name : str
            The class that is explained.
        shape : tuple of int
            ``(X, Y, Z)`` or ``(C, X, Y, Z)``.
        identity : str
            What the result depends on.
        queue : WriteQueue
            Who writes, while the caller computes.
        dtype : {"float32", "float16"}
            How values are stored; float16 has a scale for each 16 planes, which readers here apply.

        Raises
        ------
        StoreError
            If a name cannot be a key, or the store cannot be written.
        """
        path = self._unit_path(label, class_name)
        nodes.put_group(self.root, self._path("attributions"))
        nodes.put_group(self.root, self._path("attributions", label))
        dims = ome.IMAGE_AXES[-len(shape) :]
        return UnitWriter(PlaneWriter(self.root, path, shape, dims, identity, queue, dtype), shape)

    def write_unit(
        self,
        label: str,
        class_name: str,
        values: NDArray[np.floating[Any]],
        *,
        identity: str,
        info: Mapping[str, Any],
    ) -> Unit:
        """Store the attribution of one class as a whole ``[X, Y, Z]`` or ``[C, X, Y, Z]``.

        The parameters and errors, and every byte, are those of `unit_writer`.
        """
        with WriteQueue() as queue:
            writer = self.unit_writer(label, class_name, values.shape, identity, queue)
            writer.append(values)
            return writer.finish(info)

    def units(self, label: str) -> dict[str, Unit]:
        """Return the finished units of a label by class name."""
        documents = self.root.nodes(self._path("attributions", check_name("label", label)))
        return {name: _unit(document) for name, document in documents.items()}

    def attribution(self, label: str, class_name: str) -> da.Array:
        """Return a finished attribution, lazily: float32 ``[X, Y, Z]`` or ``[C, X, Y, Z]``.

        Raises
        ------
        StoreError
            If there is no such unit.
        """
        return nodes.lazy_array(self.root, self._unit_path(label, class_name))

    def verify(self, label: str, class_name: str) -> bool:
        """Return whether the stored voxels still have the checksum that they were written with.

        Raises
        ------
        StoreError
            If there is no such unit.
        """
        return nodes.is_intact(self.root, self._unit_path(label, class_name))

    def drop_voxels(self, label: str, class_name: str) -> None:
        """Remove the attribution of a class, or what is left of it; sums and rows of matrices stay."""
        self.root.delete_tree(self._unit_path(label, class_name))

    def n_bytes(self, label: str, class_name: str) -> int:
        """Return the bytes that the attribution of a class takes, or what is left of it."""
        return self.root.n_bytes(self._unit_path(label, class_name))

    def write_sums(
        self,
        label: str,
        class_name: str,
        values: NDArray[np.float64],
        *,
        identity: str,
        info: Mapping[str, Any],
    ) -> None:
        """Store what is summed up of an attribution of one class whose voxels are not kept.

        Parameters
        ----------
        label : str
            Of the method and its parameters.
        class_name : str
            The class that is explained.
        values : ndarray of float64, shape [n_sums, n_regions]
            The sums.
        identity : str
            What the attribution depends on.
        info : mapping
            What is told about it, JSON-ready.
        """
        path = self._path("sums", check_name("label", label), check_name("class", class_name))
        nodes.put_group(self.root, self._path("sums"))
        nodes.put_group(self.root, self._path("sums", label))
        nodes.put_array(self.root, path, values, ("sum", "region"), {"identity": identity, "info": info})

    def sums(self, label: str) -> dict[str, Unit]:
        """Return what is told about the finished sums of a label by class name."""
        documents = self.root.nodes(self._path("sums", check_name("label", label)))
        return {name: _unit(document) for name, document in documents.items()}

    def read_sums(self, label: str, class_name: str) -> NDArray[np.float64]:
        """Return the sums of a class ``[n_sums, n_regions]``."""
        return nodes.read_array(self.root, self._path("sums", label, class_name))

    def _unit_path(self, label: str, class_name: str) -> str:
        return self._path("attributions", check_name("label", label), check_name("class", class_name))


def _unit(document: Mapping[str, Any]) -> Unit:
    own = document["attributes"][nodes.ATTRIBUTES]
    return Unit(own["identity"], own["checksum"], own["info"], tuple(document["shape"]), own.get("finished"))
