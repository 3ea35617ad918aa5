"""What a night's new scans cost in a store of many: the reduction, in seconds, memory and requests.

Rows are those of a phantom with 17 classes, varied. The archive is laid down in blocks, not by reducing; what
is timed is the product's own path from there on.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import resource
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import numpy as np
import xarray as xr
from moto.server import ThreadedMotoServer

from agg2exp_core.importance import RoiSet, global_importance, local_importance, stack_scans
from agg2exp_core.labels import THORAX_CLASSES, merged_for
from agg2exp_core.phantom import make_phantom
from agg2exp_core.pipeline.reduce import reduce_cohort
from agg2exp_core.store import MatricesWriter, Store, open_store
from agg2exp_core.store.locks import reducing
from agg2exp_core.store.rows import packed
from agg2exp_core.types import ClassAttribution
from benchmarks.timing import Row, Spread, once, print_table

LABEL = "smoothgrad"
N_VARIANTS = 64
"""Different rows; scans have them in turn."""


@dataclass(frozen=True)
class Size:
    """How large the archives are.

    Parameters
    ----------
    few, many : int
        Scans of the two archives that are compared.
    n_new : int
        Scans of a night.
    n_on_s3 : int
        Scans of the archive on S3.
    n_reads : int
        Of the notebook that watches.
    """

    few: int = 1_000
    many: int = 100_000
    n_new: int = 100
    n_on_s3: int = 1_500
    n_reads: int = 2_000


QUICK = Size(few=20, many=60, n_new=5, n_on_s3=10, n_reads=20)


def variants() -> list[xr.Dataset]:
    """Return rows of a phantom, varied."""
    labels = make_phantom(0, 8.0).labels.astype(np.uint8)
    rng = np.random.default_rng(0)
    items = [
        ClassAttribution(name, rng.standard_normal(labels.shape) * (0.1 + (labels == index)))
        for index, name in enumerate(THORAX_CLASSES)
    ]
    rows = local_importance(items, RoiSet(labels, THORAX_CLASSES, merged_for(THORAX_CLASSES)))

    def varied() -> xr.Dataset:
        factors = np.exp(0.1 * rng.standard_normal(rows["mass"].shape))
        return rows.assign({name: rows[name] * factors for name in rows if rows[name].ndim == 2})

    return [varied() for _ in range(N_VARIANTS)]


def name_of(n: int) -> str:
    """Return the id of a scan."""
    return f"s{n:07d}"


def identity_of(scan: str) -> str:
    """Return what stands for the identity of the rows of a scan."""
    return hashlib.sha256(scan.encode()).hexdigest()


def put_rows(store: Store, scans: Sequence[str], contents: Sequence[bytes]) -> None:
    """Lay down scans that have rows alone."""
    for n, scan in enumerate(scans):
        key = f"rows/{LABEL}/{scan}/{identity_of(scan)}.npz"
        if store.uri.startswith("s3://"):
            store.root.put(key, contents[n % N_VARIANTS])
            store.root.put(f"scans/{scan}.zarr/zarr.json", b"{}")
            continue
        path = Path(store.uri, key)
        path.parent.mkdir(parents=True)
        path.write_bytes(contents[n % N_VARIANTS])
        Path(store.uri, f"scans/{scan}.zarr").mkdir(parents=True)


def make_archive(store: Store, n_scans: int, rows: Sequence[xr.Dataset]) -> None:
    """Lay down an archive with its matrices."""
    scans = [name_of(n) for n in range(n_scans)]
    put_rows(store, scans, [packed(one) for one in rows])
    turn = stack_scans({str(n): one for n, one in enumerate(rows)})
    with reducing(store.root):
        writer = MatricesWriter(store.matrices(LABEL), turn, n_scans)
        for start, stop in writer.blocks():
            writer.write(start, turn.isel(scan=np.arange(start, stop) % N_VARIANTS))
        summary = global_importance(turn, n_bootstrap=10)
        writer.publish(scans, [identity_of(scan) for scan in scans], summary)


def seconds_of(store: Store, first: int, n_new: int, contents: Sequence[bytes]) -> float:
    """Add scans, and return how long their reduction takes."""
    put_rows(store, [name_of(first + n) for n in range(n_new)], contents)
    started = time.perf_counter()
    assert reduce_cohort(store.uri, LABEL) == first + n_new
    return time.perf_counter() - started


def measure_cost(folder: Path, size: Size, n_repeats: int = 3) -> list[Row]:
    """Return what new scans cost in a small and in a large archive, and the peak of memory."""
    rows = variants()
    contents = [packed(one) for one in rows]
    stores = {n: open_store(folder / str(n), create=True) for n in (size.few, size.many)}
    held = {}
    for n, store in stores.items():
        make_archive(store, n, rows)
        held[n] = n
    one: dict[int, list[float]] = {n: [] for n in stores}
    night: dict[int, list[float]] = {n: [] for n in stores}
    for _ in range(n_repeats):
        for n, store in stores.items():
            for n_new, into in ((1, one), (size.n_new, night)):
                into[n].append(seconds_of(store, held[n], n_new, contents))
                held[n] += n_new
    more = {n: [(b - a) / (size.n_new - 1) for a, b in zip(one[n], night[n], strict=True)] for n in stores}
    nothing = seconds_of(stores[size.many], held[size.many], 0, contents)
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    few, many, new = size.few, size.many, size.n_new
    return [
        Row(f"reduction of {new} new scans into {many:,}, s", Spread(tuple(night[many])), at_most=60),
        Row(f"reduction of {new} new scans into {few:,}, s", Spread(tuple(night[few]))),
        Row(f"reduction of 1 new scan into {many:,}, s", Spread(tuple(one[many]))),
        once(f"reduction of {many:,} where nothing is new, s", nothing),
        Row(f"one more new scan at {many:,}, ms", Spread(tuple(1000 * s for s in more[many]))),
        once(
            f"one more new scan at {many:,} over that at {few:,}",
            float(np.median(more[many]) / np.median(more[few])),
            at_most=1.5,
        ),
        once("peak memory of all of this, GB", peak_gb, at_most=2),
    ]


@contextmanager
def counting() -> Iterator[list[str]]:
    """Serve S3 in this process while the context lasts, and note the requests."""
    noted: list[str] = []

    class Noting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            noted.append(record.getMessage())

    log, handler = logging.getLogger("werkzeug"), Noting()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        os.environ[name] = "testing"
    os.environ |= {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield noted
    finally:
        log.removeHandler(handler)
        server.stop()


def measure_requests(size: Size) -> list[Row]:
    """Return how many requests a reduction on S3 makes."""
    rows = variants()
    contents = [packed(one) for one in rows]
    with counting() as noted:
        boto3.client("s3").create_bucket(Bucket="archive")
        store = open_store("s3://archive/store", create=True)
        make_archive(store, size.n_on_s3, rows)
        reduce_cohort(store.uri, LABEL)  # opens the connection
        counts = []
        n_held = size.n_on_s3
        for n_new in (0, 1, 1 + size.n_new):
            put_rows(store, [name_of(n_held + n) for n in range(n_new)], contents)
            n_held += n_new
            noted.clear()
            reduce_cohort(store.uri, LABEL)
            counts.append(len(noted))
    none, one, several = counts
    lists = 2 * -(-n_held // 1000)
    return [
        once(f"requests where none of {size.n_on_s3:,} scans is new", none),
        once("of those, listings", lists),
        once("requests for one new scan beyond that", one - none, at_most=60),
        once("requests for each further new scan", (several - one) / size.n_new),
    ]


def measure_reads(folder: Path, size: Size) -> list[Row]:
    """Return how many reads of a notebook fail or are mixed while the reducer adds, changes and removes."""
    rows = variants()
    store = open_store(folder / "watched", create=True)
    over = threading.Event()

    def state(number: int, n_scans: int) -> None:
        for n in range(n_scans, 6):
            shutil.rmtree(Path(store.uri, f"scans/{name_of(n)}.zarr"), ignore_errors=True)
        for n in range(n_scans):
            one = rows[n].assign({name: rows[n][name] * 0 + number for name in rows[n]})
            Path(store.uri, f"scans/{name_of(n)}.zarr").mkdir(parents=True, exist_ok=True)
            if store.rows(LABEL).identities(name_of(n)) != [str(number)]:
                store.scan(name_of(n)).write_importance(LABEL, one, str(number))
        reduce_cohort(store.uri, LABEL)

    n_states = 0

    def write() -> None:
        nonlocal n_states
        while not over.is_set():
            for n_scans in (4, 5, 6):  # all change and two go, one is added, one is added
                state(n_states // 3 + 2, n_scans)
                n_states += 1

    state(1, 4)
    writer = threading.Thread(target=write)
    writer.start()
    n_failed = n_mixed = 0
    for _ in range(size.n_reads):
        try:
            with xr.open_zarr(f"{store.uri}/importance.zarr", group=LABEL) as opened:
                found = opened.load()
        except Exception as error:  # what a notebook would see
            n_failed += 1
            print(f"{type(error).__name__}: {error}")
            continue
        values = [v for name in ("mass", "mean", "norm", "n_voxels") for v in np.unique(found[name].values)]
        n_mixed += len({v for v in values if np.isfinite(v)}) != 1
    over.set()
    writer.join()
    return [
        once(f"of {size.n_reads:,} reads while the reducer writes, failed", n_failed, at_most=0),
        once(f"of {size.n_reads:,} reads while the reducer writes, mixed", n_mixed, at_most=0),
        once("times that the matrices were switched meanwhile", n_states),
    ]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("cost", "requests", "reads"), help="one table alone")
    parser.add_argument("--quick", action="store_true", help="small archives")
    given = parser.parse_args()
    size = QUICK if given.quick else Size()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.part in (None, "cost"):
            print_table("Reduction of new scans, local disk", measure_cost(folder, size))
        if given.part in (None, "requests"):
            print_table("Requests of a reduction on S3", measure_requests(size))
        if given.part in (None, "reads"):
            print_table("Who reads while the reducer writes", measure_reads(folder, size))


if __name__ == "__main__":
    main()
