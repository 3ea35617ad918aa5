"""Speed of writing and reading an attribution: a local disk, and a real S3 server by two clients.

The attribution is 300^3 voxels in float32, in the store's own chunks, written as the store writes it: a
block of planes at a time. Backends take turns, so that what else the machine does hits all of them.
"""

from __future__ import annotations

import argparse
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
from zarr.storage import LocalStore, ObjectStore

from agg2exp_core.store.nodes import UNIT_PLANES
from agg2exp_core.store.root import locate
from agg2exp_core.store.writer import create_array
from benchmarks.timing import Row, Spread, alternate, print_table, ratio
from tests.services.radosgw import Radosgw, radosgw

SIDE = 300
"""Voxels along each axis."""

Backends = dict[str, Callable[[], ZarrStore]]


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


def write(store: ZarrStore, values: NDArray[np.float32]) -> None:
    """Write an array in blocks of planes."""
    array = create_array(store, values.shape, values.dtype, UNIT_PLANES, ("x", "y", "z"), {})
    for start in range(0, len(values), UNIT_PLANES):
        array[start : start + UNIT_PLANES] = values[start : start + UNIT_PLANES]


def read(store: ZarrStore, expected: NDArray[np.float32]) -> None:
    """Read an array, and see that it is right."""
    found = zarr.open_array(store, mode="r", zarr_format=3)[...]
    if not np.array_equal(np.asarray(found), expected):
        raise RuntimeError(f"{store} gave back other voxels")


def measure(made: Backends, side: int, n_repeats: int) -> list[Row]:
    """Return the rows of the table."""
    values = gradient_like(side)
    megabytes = values.nbytes / 1e6
    stores: dict[str, ZarrStore] = {}
    seconds: dict[str, dict[str, list[float]]] = {"write": {}, "read": {}}
    for _ in range(n_repeats):
        stores = {name: make() for name, make in made.items()}
        for verb, work in (("write", write), ("read", read)):
            turn = {name: partial(work, store, values) for name, store in stores.items()}
            for name, taken in alternate(turn, 1).items():
                seconds[verb].setdefault(name, []).extend(taken)
    rows = []
    for verb, by_name in seconds.items():
        rows += [
            Row(f"{verb}, {name}, MB/s", Spread(tuple(megabytes / s for s in taken)))
            for name, taken in by_name.items()
        ]
        rows.append(Row(f"{verb}, obstore over s3fs", ratio(by_name["s3fs"], by_name["obstore"])))
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks.storage")
    parser.add_argument("--side", type=int, default=SIDE, help="voxels along each axis")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each backend")
    given = parser.parse_args()
    n_bytes = 2 * (given.repeats + 1) * 5 * given.side**3
    with tempfile.TemporaryDirectory() as folder, radosgw(max(n_bytes, 2**30)) as server:
        os.environ.update(server.environment)
        measure(backends(Path(folder), server), side=UNIT_PLANES, n_repeats=1)  # connections, imports
        rows = measure(backends(Path(folder), server), given.side, given.repeats)
    print_table(f"attribution of {given.side}^3 voxels, float32, in the store's chunks", rows)


if __name__ == "__main__":
    main()
