"""Where the planes of attributions go as they leave the engine: into the store, or into sums alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from agg2exp_core.importance import StreamedSums
from agg2exp_core.pipeline.reduce import REGIONS, regions_identity, regions_of
from agg2exp_core.store import ScanStore, UnitWriter, WriteQueue
from agg2exp_core.types import FloatVolume

Identify = Callable[[str], str]
"""From a class to the identity of its unit."""


class Sink(Protocol):
    """Takes the planes of each class in order; with plane 0 a class begins, or begins again."""

    def add(self, class_name: str, start: int, values: FloatVolume) -> None:
        """Take planes ``[n, Y, Z]`` or ``[C, n, Y, Z]``."""

    def finish(self, class_name: str, info: Mapping[str, Any]) -> None:
        """Make the result of a class visible."""


class VoxelSink:
    """Writes every voxel: a unit a class."""

    def __init__(
        self,
        scan_store: ScanStore,
        label: str,
        n_planes: int,
        identify: Identify,
        queue: WriteQueue,
        stored: str,
    ) -> None:
        self._scan_store, self._label, self._n_planes, self._stored = scan_store, label, n_planes, stored
        self._identify, self._queue = identify, queue
        self._writers: dict[str, UnitWriter] = {}

    def add(self, class_name: str, start: int, values: FloatVolume) -> None:
        """Take planes ``[n, Y, Z]`` or ``[C, n, Y, Z]``."""
        if start == 0:
            shape = (*values.shape[:-3], self._n_planes, *values.shape[-2:])
            self._writers[class_name] = self._scan_store.unit_writer(
                self._label, class_name, shape, self._identify(class_name), self._queue, self._stored
            )
        self._writers[class_name].append(values)

    def finish(self, class_name: str, info: Mapping[str, Any]) -> None:
        """Make the unit of a class visible."""
        self._writers.pop(class_name).finish(info)


class SumSink:
    """Keeps sums over the regions, and no voxel."""

    def __init__(self, scan_store: ScanStore, label: str, identify: Identify) -> None:
        self._scan_store, self._label, self._identify = scan_store, label, identify
        self._sums = StreamedSums(regions_of(scan_store))
        self._regions = regions_identity(scan_store)

    def add(self, class_name: str, start: int, values: FloatVolume) -> None:
        """Take planes ``[n, Y, Z]`` or ``[C, n, Y, Z]``."""
        self._sums.add(class_name, start, values)

    def finish(self, class_name: str, info: Mapping[str, Any]) -> None:
        """Make the sums of a class visible."""
        self._scan_store.write_sums(
            self._label,
            class_name,
            self._sums.take(class_name).as_array(),
            identity=self._identify(class_name),
            info={**info, REGIONS: self._regions},
        )
