"""How arrays are cut into chunks, and that an array of the same content is never out of sight."""

import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore

from agg2exp_core.store.keys import METADATA
from agg2exp_core.store.nodes import UNIT_PLANES, read_array, stored_checksum
from agg2exp_core.store.writer import CHUNK_SIDE, create_array, put_array


@pytest.mark.parametrize(
    ("shape", "most_planes", "chunks"),
    [
        ((300, 300, 193), CHUNK_SIDE, (192, 150, 97)),
        ((2, 300, 300, 10), CHUNK_SIDE, (1, 192, 150, 10)),
        ((300, 300, 193), UNIT_PLANES, (16, 150, 97)),
        ((2, 9, 8, 7), UNIT_PLANES, (1, 9, 8, 7)),
        ((4, 300), CHUNK_SIDE, (4, 150)),
        ((4, 0), CHUNK_SIDE, (4, 1)),
    ],
    ids=str,
)
def test_chunks(shape, most_planes, chunks):
    dims = ("c", "x", "y", "z")[-len(shape) :]
    array = create_array(MemoryStore(), shape, np.dtype(np.float32), most_planes, dims, {"a": 1})
    assert array.chunks == chunks
    assert array.attrs.asdict() == {"agg2exp": {"a": 1}}


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
