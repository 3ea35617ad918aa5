"""Attributions that are written plane by plane."""

import hashlib
import time

import numpy as np
import pytest

from agg2exp_core.errors import StoreError
from agg2exp_core.release import code_version
from agg2exp_core.store import WriteQueue, open_store

pytestmark = pytest.mark.usefixtures("small_shards")

SHAPES = [(37, 9, 131), (2, 150, 5, 6), (3, 4, 5)]


def keys_and_bytes(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("n_planes", [5, 16, 40])
def test_any_pieces_give_the_bytes_of_the_whole(tmp_path, shape, n_planes, monkeypatch):
    monkeypatch.setattr("agg2exp_core.store.units.now", lambda: "2026-01-31T02:00:00+00:00")
    values = np.random.default_rng(0).normal(size=shape)
    places = [open_store(tmp_path / name, create=True).scan("s") for name in ("whole", "pieces")]
    whole = places[0].write_unit("sg", "a", values, identity="i", info={"residual": 0.5})
    with WriteQueue() as queue:
        writer = places[1].unit_writer("sg", "a", shape, "i", queue)
        for start in range(0, shape[-3], n_planes):
            piece = values[..., start : start + n_planes, :, :].copy()
            writer.append(piece)
            piece[:] = np.nan
        assert places[1].units("sg") == {}
        assert writer.finish({"residual": 0.5}) == whole
    assert keys_and_bytes(tmp_path / "whole") == keys_and_bytes(tmp_path / "pieces")
    assert places[1].units("sg") == {"a": whole}
    assert whole.finished == places[1].units("sg")["a"].finished == "2026-01-31T02:00:00+00:00"
    assert places[1].verify("sg", "a")


def test_the_checksum_of_several_channels_is_that_of_their_digests(store):
    values = np.random.default_rng(0).normal(size=(2, 20, 5, 6)).astype(np.float32)
    digests = [hashlib.sha256(channel.tobytes()).digest() for channel in values]
    unit = store.scan("s").write_unit("sg", "a", values, identity="i", info={})
    assert unit.checksum == hashlib.sha256(b"".join(digests)).hexdigest()


def test_chunks_are_there_before_the_end_and_nothing_is_seen(tmp_path):
    place = open_store(tmp_path, create=True).scan("s")
    old = np.ones((40, 4, 4))
    for before in (None, "i", "other"):
        if before:
            place.write_unit("sg", "a", old, identity=before, info={})
        folder = tmp_path / "scans/s.zarr/attributions/sg/a"
        with WriteQueue() as queue:
            writer = place.unit_writer("sg", "a", (40, 4, 4), "i", queue)
            writer.append(np.zeros((33, 4, 4)))
            queue.drain()
            assert (folder / "c/0/0/0").is_file()
            assert (folder / "c/1/0/0").is_file()
            with pytest.raises(StoreError, match="33 planes"):
                writer.finish({})
        assert place.units("sg") == {}
    assert place.write_unit("sg", "a", old, identity="i", info={}).identity == "i"
    assert place.verify("sg", "a")


@pytest.mark.parametrize("shape", [(3, 4, 5), (9, 4, 4), (2, 3, 4, 4)])
def test_planes_that_do_not_fit_are_refused(store, shape):
    with WriteQueue() as queue:
        writer = store.scan("s").unit_writer("sg", "a", (8, 4, 4), "i", queue)
        with pytest.raises(StoreError, match="append each plane once, in order"):
            writer.append(np.zeros(shape))


def test_what_cannot_be_written_is_told_at_the_latest_at_the_end(tmp_path):
    place = open_store(tmp_path, create=True).scan("s")
    with WriteQueue() as queue:
        writer = place.unit_writer("sg", "a", (16, 4, 4), "i", queue)
        folder = tmp_path / "scans/s.zarr/attributions/sg/a"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "c").write_text("a file where a folder should be")
        writer.append(np.zeros((16, 4, 4)))
        with pytest.raises(StoreError, match="free space"):
            writer.finish({})
    assert place.units("sg") == {}


def test_the_queue_writes_while_the_caller_goes_on_and_holds_back_when_full():
    done = []
    with WriteQueue() as queue:
        started = time.monotonic()
        for n in range(12):
            queue.submit(lambda n=n: (time.sleep(0.02), done.append(n)))
        waited = time.monotonic() - started
        assert len(done) < 12
        assert waited >= 0.02
    assert done == list(range(12))


def test_a_unit_and_sums_tell_which_code_made_them(store):
    place = store.scan("s")
    unit = place.write_unit("sg", "a", np.ones((3, 4, 5)), identity="i", info={})
    place.write_sums("sg", "b", np.ones((4, 2)), identity="i", info={})
    told = {unit.made_by, place.units("sg")["a"].made_by, place.sums("sg")["b"].made_by}
    assert told == {code_version()}
    assert store.versions("sg") == {}
    store.note_version("sg")
    assert store.versions("sg").keys() == told
