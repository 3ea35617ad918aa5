"""Matrices of a cohort that grows, changes and shrinks; what those see who read meanwhile."""

import pickle
import threading

import numpy as np
import pytest
import xarray as xr

from agg2exp_core.importance import global_importance, stack_scans
from agg2exp_core.pipeline.reduce import reduce_cohort
from agg2exp_core.store import matrices, open_store

LABEL = "sg"
CLASSES = ["background", "heart", "lung"]


def rows_of(number, extra=(), shift=0.0):
    rng = np.random.default_rng(number)
    rois = [*CLASSES, *extra]
    shape = (len(CLASSES), len(rois))
    kinds = ["class"] * len(CLASSES) + ["extra"] * len(extra)
    return xr.Dataset(
        {
            "mass": (("target", "roi"), rng.random(shape) + shift),
            "mean": (("target", "roi"), rng.random(shape)),
            "norm": ("target", rng.random(len(CLASSES))),
            "n_voxels": ("roi", rng.integers(1, 9, len(rois))),
        },
        {"target": CLASSES, "roi": rois, "roi_kind": ("roi", kinds)},
    )


class Cohort:
    """A store of scans that have nothing but rows, and what its matrices should be."""

    def __init__(self, uri):
        self.store = open_store(uri, create=True)
        self.rows = {}

    def put(self, scan, identity="first", **options):
        self.rows[scan] = rows_of(sum(map(ord, scan)), **options)
        self.store.root.put(f"scans/{scan}.zarr/0/c/0", b"")
        self.store.scan(scan).write_importance(LABEL, self.rows[scan], identity)

    def remove(self, scan):
        del self.rows[scan]
        self.store.root.delete_tree(f"scans/{scan}.zarr")

    def check(self, *, consolidated=True):
        """Reduce, and compare with the matrices made at once."""
        assert reduce_cohort(self.store.uri, LABEL) == len(self.rows)
        address = f"{self.store.uri}/importance.zarr"
        with xr.open_zarr(address, group=LABEL, consolidated=consolidated) as opened:
            found = opened.load()
        with xr.open_zarr(address, group=f"{LABEL}/global", consolidated=consolidated) as opened:
            summary = opened.load()
        expected = stack_scans({scan: self.rows[scan] for scan in found["scan"].values})
        assert sorted(found["scan"].values) == sorted(self.rows)
        assert set(found["roi"].values) == set(expected["roi"].values)
        xr.testing.assert_equal(found.sel(roi=expected["roi"].values), expected)
        at_once = global_importance(stack_scans(self.rows)).sel(roi=summary["roi"].values)
        xr.testing.assert_allclose(summary, at_once, rtol=1e-12)
        xr.testing.assert_equal(self.store.importance(LABEL), found)
        xr.testing.assert_equal(self.store.global_importance(LABEL), summary)
        return found


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.slow)])
def cohort(request, tmp_path, monkeypatch):
    monkeypatch.setattr(matrices, "_MOST_SCANS", 3)
    monkeypatch.setattr(matrices, "_MOST_NAMES", 4)
    uri = str(tmp_path / "store") if request.param == "local" else request.getfixturevalue("s3_uri")
    return Cohort(uri)


def keys_of(cohort):
    root = cohort.store.root
    return {key: root.get(key) for name in ("importance.zarr", "rows") for key in sorted(root.keys(name))}


def test_a_cohort_grows_changes_and_shrinks(cohort):
    for n in range(4):
        cohort.put(f"s{n}")
    cohort.check()
    for n in (4, 5, 6, 7):  # beyond the chunk that was half full, and beyond the next
        cohort.put(f"s{n}")
    cohort.check()
    assert cohort.store.root.children(f"importance.zarr/{LABEL}/mass") == ["c", "zarr.json"]  # none moved
    cohort.put("a scan that sorts first")
    assert cohort.check()["scan"].values[-1] == "a scan that sorts first"
    cohort.put("s2", "changed", shift=1.0)
    cohort.check()
    cohort.put("t0", extra=("lesion",))
    cohort.check()
    cohort.remove("s5")
    cohort.check()
    cohort.put("t0", "without its mask")
    assert "lesion" not in cohort.check()["roi"].values
    for n in range(3):  # as many as there are ways to name chunks
        cohort.put("s7", f"{n}", shift=n)
        cohort.check(consolidated=n < 2)


def test_where_nothing_is_new_nothing_is_written_and_nothing_of_the_known_is_read(cohort, monkeypatch):
    for n in range(5):
        cohort.put(f"s{n}")
    cohort.check()
    before = keys_of(cohort)
    read = []
    monkeypatch.setattr("agg2exp_core.store.rows.unpacked", lambda content: read.append(content))
    assert reduce_cohort(cohort.store.uri, LABEL) == 5
    assert keys_of(cohort) == before
    assert read == []


def test_rows_that_a_killed_writer_left_behind(cohort):
    for n in range(3):
        cohort.put(f"s{n}")
    cohort.check()
    rows = cohort.store.rows(LABEL)
    monkey = rows_of(7, shift=2.0)
    cohort.store.root.put("rows/sg/s1/other.npz", b"not the rows of what is stored")
    assert rows.known()["s1"] == ["first", "other"]
    cohort.check()
    cohort.store.scan("s1").write_importance(LABEL, monkey, "second")
    assert rows.known()["s1"] == ["second"]


def test_an_attempt_that_fails_leaves_the_cohort_as_it_was(cohort, monkeypatch):
    for n in range(4):
        cohort.put(f"s{n}")
    before = cohort.check()
    cohort.put("s1", "changed", shift=1.0)
    cohort.put("s9")
    monkeypatch.setattr("agg2exp_core.pipeline.cohort.global_importance", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        reduce_cohort(cohort.store.uri, LABEL)
    xr.testing.assert_equal(cohort.store.importance(LABEL), before)
    monkeypatch.undo()
    cohort.check()


def test_a_scheduler_gets_what_it_shall_read(cohort):
    cohort.put("s0")
    like = stack_scans(cohort.rows)
    writer = matrices.MatricesWriter(cohort.store.matrices(LABEL), like, 1)
    writer.write(0, like)
    there = pickle.loads(pickle.dumps(writer.variable("mass")))
    np.testing.assert_array_equal(there.compute(scheduler="synchronous"), like["mass"])


def watch(uri, until, seen):
    """Read as a notebook does, over and over; note what is no state that was written."""
    address = f"{uri}/importance.zarr"
    while not until.is_set() or not seen:
        with xr.open_zarr(address, group=LABEL) as opened:
            found = opened.load()
        state = np.unique(found["mass"].values.astype(int))
        same = found["n_voxels"].values - found["n_voxels"].values[:1]
        seen.append((found.sizes["scan"], state.tolist(), same.any()))


def test_who_reads_meanwhile_sees_one_whole_cohort(tmp_path, monkeypatch):
    """Rows are a number: that of the state; each state holds it everywhere, the number of scans with it."""
    monkeypatch.setattr(matrices, "_MOST_SCANS", 2)
    cohort = Cohort(str(tmp_path / "store"))

    def state(number, n_scans):
        rows = rows_of(0) * 0 + number
        rows["n_voxels"] = rows["n_voxels"].astype(int) + 1
        for n in range(n_scans):
            cohort.store.root.put(f"scans/s{n}.zarr/0/c/0", b"")
            if f"{number}" not in cohort.store.rows(LABEL).identities(f"s{n}"):
                cohort.store.scan(f"s{n}").write_importance(LABEL, rows, f"{number}")
        reduce_cohort(cohort.store.uri, LABEL)

    state(1, 2)
    over, seen, written = threading.Event(), [], {(2, 1)}
    reader = threading.Thread(target=watch, args=(cohort.store.uri, over, seen))
    reader.start()
    try:
        for number in (2, 3, 4):
            for n_scans in (number, number + 1):  # all change and one comes, or one comes
                state(number, n_scans)
                written.add((n_scans, number))
    finally:
        over.set()
        reader.join()
    assert {(n_scans, *numbers) for n_scans, numbers, _ in seen} <= written
    assert not any(differs for *_, differs in seen)
