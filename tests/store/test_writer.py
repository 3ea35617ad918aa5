"""How arrays are cut into chunks, and that an array of the same content is never out of sight."""

import pickle

import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore

from agg2exp_core.store import UnitWriter, WriteQueue, open_store
from agg2exp_core.store.keys import METADATA
from agg2exp_core.store.nodes import lazy_array, read_array, stored_checksum
from agg2exp_core.store.writer import create_array, put_array


@pytest.mark.parametrize(
    ("shape", "streamed", "chunks", "shards"),
    [
        ((300, 300, 193), False, (192, 150, 97), None),
        ((2, 300, 300, 10), False, (1, 192, 150, 10), None),
        ((4, 300), False, (4, 150), None),
        ((4, 0), False, (4, 1), None),
        ((300, 300, 193), True, (16, 300, 193), (80, 300, 193)),  # of at least 16 MiB
        ((300, 300, 300), True, (16, 300, 300), (48, 300, 300)),
        ((900, 300, 300), True, (16, 300, 300), (144, 300, 300)),  # of at most 7
        ((512, 512, 511), True, (16, 256, 256), (80, 512, 512)),
        ((2, 300, 300, 300), True, (1, 16, 300, 300), (2, 48, 300, 300)),
        ((2, 9, 8, 7), True, (1, 9, 8, 7), (2, 9, 8, 7)),
        ((37, 8, 7), True, (16, 8, 7), (48, 8, 7)),
    ],
    ids=str,
)
def test_chunks_and_shards(shape, streamed, chunks, shards):
    dims = ("c", "x", "y", "z")[-len(shape) :]
    array = create_array(MemoryStore(), shape, np.dtype(np.float32), dims, {"a": 1}, streamed=streamed)
    assert (array.chunks, array.shards) == (chunks, shards)
    assert array.attrs.asdict() == {"agg2exp": {"a": 1}}


def test_shards_are_read_in_tasks_of_a_few_chunks(tmp_path):
    store = open_store(tmp_path / "store", create=True)
    values = np.broadcast_to(np.float32(1), (1, 80, 300, 300))
    with WriteQueue() as queue:
        writer = UnitWriter(store.root, "unit", values.shape, "i", queue)
        writer.append(values)
        writer.finish({})
    lazy = lazy_array(store.root, "unit")
    assert lazy.chunks == ((1,), (32, 32, 16), (300,), (300,))
    again = pickle.loads(pickle.dumps(lazy))
    assert np.array_equal(again[0, 31:33, :2, -1].compute(), values[0, 31:33, :2, -1])
    plain = zarr.open_array(store.root.reader("unit"), mode="r")
    assert (plain.chunks, plain.shards) == ((1, 16, 300, 300), (1, 48, 300, 300))
    assert np.array_equal(plain[...], values)
    assert sorted(path.name for path in (tmp_path / "store" / "unit" / "c" / "0").iterdir()) == ["0", "1"]


def test_the_same_array_stays_in_sight_and_another_takes_its_place(store, monkeypatch):
    values = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    seen = []
    set_items = zarr.Array.__setitem__

    def watched(array, selection, value):
        seen.append(store.root.get_json(f"mask/{METADATA}") is not None)
        set_items(array, selection, value)

    monkeypatch.setattr(zarr.Array, "__setitem__", watched)
    others = (values, values[::-1].copy(), values[:2], values[:2].astype(np.int8))
    for item in (values, *others):
        put_array(store.root, "mask", item, ("x", "y", "z"), {})
        read = read_array(store.root, "mask")
        assert read.dtype == item.dtype
        assert np.array_equal(read, item)
    assert seen == [False, True, False, False, False]
    put_array(store.root, "mask", values, ("x", "y", "z"), {"kind": "extra"})
    assert not seen[-1]
    assert len(stored_checksum(store.root, "mask")) == 64
