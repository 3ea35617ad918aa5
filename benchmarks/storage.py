"""Speed of writing and reading an attribution: a local disk, and a real S3 server by two clients.

The attribution is 300^3 voxels in float32, written as the store writes it, a block of planes at a time: in
the store's shards, and in chunks that are objects, as release 0.1.0 wrote them. Backends and layouts take
turns, so that what else the machine does hits all of them.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray
from obstore.store import S3Store as ObstoreS3
from zarr.abc.store import Store as ZarrStore
from zarr.core.sync import sync
from zarr.storage import LocalStore, MemoryStore, ObjectStore

from agg2exp_core.store.nodes import UNIT_PLANES, lazy_array
from agg2exp_core.store.root import Root, locate
from agg2exp_core.store.shards import ShardWriter
from agg2exp_core.store.writer import create_array
from benchmarks.timing import Row, Spread, alternate, once, print_table, ratio
from tests.services.radosgw import Radosgw, radosgw

SIDE = 300
"""Voxels along each axis."""
OLD_SIDE = 192
"""Longest side of a chunk along Y and Z in release 0.1.0."""
OWN = {"checksum": "unknown"}
"""What the store's reader wants to know of an array."""

Backends = dict[str, Callable[[], ZarrStore]]
Write = Callable[[ZarrStore, NDArray[np.float32]], None]


def gradient_like(side: int) -> NDArray[np.float32]:
    """Return values ``[X, Y, Z]`` of many magnitudes, as gradients have."""
    random = np.random.default_rng(0)
    scale = np.exp(random.normal(size=(side, side, 1))).astype(np.float32)
    return random.standard_normal((side, side, side), dtype=np.float32) * scale


def backends(folder: Path, server: Radosgw) -> Backends:
    """Return what makes an empty Zarr store on each backend."""

    def obstore() -> ZarrStore:
        return ObjectStore(
            ObstoreS3(
                server.make_bucket().removeprefix("s3://"),
                endpoint=server.url,
                access_key_id=server.access_key,
                secret_access_key=server.secret_key,
                region="us-east-1",
                client_options={"allow_http": True},
            )
        )

    return {
        "local": lambda: LocalStore(Path(tempfile.mkdtemp(dir=folder))),
        "s3fs": lambda: locate(f"{server.make_bucket()}/store").at(""),
        "obstore": obstore,
    }


def in_shards(store: ZarrStore, values: NDArray[np.float32]) -> None:
    """Write an array in blocks of planes, as the store does."""
    array = create_array(store, values.shape, values.dtype, ("x", "y", "z"), OWN, streamed=True)
    shards = ShardWriter(store, array)
    for start in range(0, len(values), UNIT_PLANES):
        shards.write(values[start : start + UNIT_PLANES], start)


def in_chunks(store: ZarrStore, values: NDArray[np.float32]) -> None:
    """Write an array in blocks of planes, an object a chunk."""
    sides = [math.ceil(n / math.ceil(n / OLD_SIDE)) for n in values.shape[1:]]
    like = create_array(MemoryStore(), values.shape, values.dtype, ("x", "y", "z"), OWN)
    array = zarr.create_array(
        store,
        shape=like.shape,
        dtype=like.dtype,
        chunks=(UNIT_PLANES, *sides),
        compressors=like.compressors,
        attributes=like.attrs.asdict(),
    )
    for start in range(0, len(values), UNIT_PLANES):
        array[start : start + UNIT_PLANES] = values[start : start + UNIT_PLANES]


VERBS = "write", "read in parts", "read whole"
LAYOUTS: dict[str, Write] = {"shards": in_shards, "chunks": in_chunks}


def read(store: ZarrStore) -> None:
    """Read an array, whole."""
    zarr.open_array(store, mode="r", zarr_format=3)[...]


def read_in_parts(store: ZarrStore) -> None:
    """Read an array as a reduction does: tasks of Dask, of which each leaves little."""
    lazy = lazy_array(Root("", lambda path: store), "")
    first = lazy.map_blocks(lambda block: block[:1, :1, :1], chunks=(1, 1, 1))
    first.compute()


def check(store: ZarrStore, expected: NDArray[np.float32]) -> None:
    """See that what is stored is right."""
    if not np.array_equal(lazy_array(Root("", lambda path: store), "").compute(), expected):
        raise RuntimeError(f"{store} gave back other voxels")


def n_objects(store: ZarrStore) -> int:
    """Return the number of a store's objects."""

    async def count() -> int:
        return len([key async for key in store.list()])

    return sync(count())


def measure(made: Backends, side: int, n_repeats: int) -> list[Row]:
    """Return the rows of the table."""
    values = gradient_like(side)
    megabytes = values.nbytes / 1e6
    seconds: dict[tuple[str, str, str], list[float]] = {}
    objects: dict[str, int] = {}
    for _ in range(n_repeats):
        stores = {(name, layout): make() for name, make in made.items() for layout in LAYOUTS}
        writes = {key: partial(LAYOUTS[key[1]], store, values) for key, store in stores.items()}
        parts = {key: partial(read_in_parts, store) for key, store in stores.items()}
        reads = {key: partial(read, store) for key, store in stores.items()}
        for verb, works in zip(VERBS, (writes, parts, reads), strict=True):
            for key, taken in alternate(works, 1).items():
                seconds.setdefault((verb, *key), []).extend(taken)
        for store in stores.values():
            check(store, values)
        objects = {layout: n_objects(stores["local", layout]) for layout in LAYOUTS}
    rows = [once("objects, metadata included", objects["shards"], at_most=8)]
    rows.append(once("the same, an object a chunk", objects["chunks"]))
    for verb in VERBS:
        for name in made:
            ours, old = (seconds[verb, name, layout] for layout in LAYOUTS)
            rows.append(Row(f"{verb}, {name}, MB/s", Spread(tuple(megabytes / s for s in ours))))
            rows.append(Row(f"{verb}, {name}, time over that of an object a chunk", ratio(ours, old), 1.1))
        of_clients = (seconds[verb, name, "shards"] for name in ("s3fs", "obstore"))
        rows.append(Row(f"{verb}, speed of obstore over s3fs", ratio(*of_clients)))
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks.storage")
    parser.add_argument("--side", type=int, default=SIDE, help="voxels along each axis")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each backend")
    given = parser.parse_args()
    n_bytes = 4 * (given.repeats + 1) * 5 * given.side**3
    with tempfile.TemporaryDirectory() as folder, radosgw(max(n_bytes, 2**30)) as server:
        os.environ.update(server.environment)
        measure(backends(Path(folder), server), side=UNIT_PLANES, n_repeats=1)  # connections, imports
        rows = measure(backends(Path(folder), server), given.side, given.repeats)
    print_table(f"attribution of {given.side}^3 voxels, float32", rows)


if __name__ == "__main__":
    main()
