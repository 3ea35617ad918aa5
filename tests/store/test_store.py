import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr

from agg2exp_core.errors import StoreError
from agg2exp_core.store import Failure, Label, open_store

MODEL = {
    "name": "thorax",
    "fingerprint": "f00",
    "class_names": ["background", "heart"],
    "windows": {"n": (1, 2)},
}


def test_opens_again_what_was_created(uri):
    assert open_store(uri, create=True).uri == uri
    assert open_store(uri).uri == uri
    assert open_store(uri + "/").uri == uri
    assert open_store(uri).scans() == []
    assert open_store(uri).model is None


def test_no_store_is_refused(uri):
    with pytest.raises(StoreError, match="no store"):
        open_store(uri)


def test_opening_to_read_leaves_nothing_behind(tmp_path):
    with pytest.raises(StoreError):
        open_store(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("uri", ["gs://bucket/prefix", "s3://", "https://example.org/x"])
def test_other_addresses_are_refused(uri):
    with pytest.raises(StoreError, match=r"local path or s3://BUCKET/PREFIX"):
        open_store(uri, create=True)


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match=r"can be read and written"):
        open_store(tmp_path / "file" / "store", create=True)


@pytest.mark.parametrize(
    ("bucket", "endpoint"),
    [("no-such-bucket", None), ("bucket", "http://127.0.0.1:1")],
    ids=["bucket", "port"],
)
def test_an_s3_that_does_not_answer_is_refused_in_seconds(s3_uri, monkeypatch, bucket, endpoint):
    if endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    start = time.monotonic()
    with pytest.raises(StoreError, match="AWS_ENDPOINT_URL"):
        open_store(f"s3://{bucket}/prefix", create=True)
    assert time.monotonic() - start < 10


def test_a_process_ends_without_a_word_about_open_connections(s3_uri):
    script = "import sys; from agg2exp_core.store import open_store; open_store(sys.argv[1], create=True)"
    done = subprocess.run([sys.executable, "-c", script, s3_uri], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_a_newer_format_is_refused(store):
    store.root.put_json("agg2exp.json", {"format": 99})
    with pytest.raises(StoreError, match="format 99"):
        open_store(store.uri)


def test_one_model_per_store(store):
    store.register_model(MODEL)
    store.register_model({**MODEL, "name": "renamed"})
    assert open_store(store.uri).model == {**MODEL, "windows": {"n": [1, 2]}}
    with pytest.raises(StoreError, match="store holds another model: 'thorax'"):
        store.register_model({**MODEL, "name": "brain", "fingerprint": "f01"})


def test_one_set_of_parameters_per_label(store):
    store.register_label("sg5", "smoothgrad", {"n_samples": np.int64(5), "sigma": 0.1})
    store.register_label("sg5", "smoothgrad", {"sigma": 0.1, "n_samples": 5})
    assert store.labels() == {"sg5": Label("smoothgrad", {"n_samples": 5, "sigma": 0.1})}
    with pytest.raises(StoreError, match="choose another --label"):
        store.register_label("sg5", "smoothgrad", {"n_samples": 6, "sigma": 0.1})
    with pytest.raises(StoreError, match="choose another --label"):
        store.register_label("sg5", "vanilla_gradient", {"n_samples": 5, "sigma": 0.1})


def test_failures_come_and_go(store):
    store.record_failure("s0001", "read", "truncated")
    store.record_failure("s0002", "explain", "out of memory")
    store.record_failure("s0001", "read", "no gzip")
    assert store.failures() == {
        "s0001": Failure("read", "no gzip"),
        "s0002": Failure("explain", "out of memory"),
    }
    store.clear_failure("s0001")
    store.clear_failure("s0003")
    assert set(store.failures()) == {"s0002"}


def test_files_under_the_root(store):
    store.write_file("report/index.html", b"<p>1")
    store.write_file("report/index.html", b"<p>2")
    assert store.read_file("report/index.html") == b"<p>2"
    with pytest.raises(StoreError, match="no file"):
        store.read_file("report/other.html")


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "a//b", "", ".hidden"])
def test_files_stay_under_the_root(store, name):
    with pytest.raises(StoreError, match="file name"):
        store.write_file(name, b"")


def matrices(n_scans):
    rng = np.random.default_rng(n_scans)
    mass = rng.random((n_scans, 2, 3))
    mass[0, 0, 0] = np.nan
    coords = {
        "scan": [f"s{n}" for n in range(n_scans)],
        "target": ["background", "lösion"],
        "roi": ["background", "lösion", "lung (all)"],
        "roi_kind": ("roi", ["class", "class", "merged"]),
    }
    local = xr.Dataset(
        {
            "mass": (("scan", "target", "roi"), mass),
            "n_voxels": (("scan", "roi"), mass[:, 0].astype(bool) * 3),
        },
        coords,
    )
    return local, local[["mass"]].mean("scan")


def test_matrices_open_with_xarray_alone(store):
    local, global_ = matrices(3)
    store.write_importance("vanilla_gradient", *matrices(1))
    store.write_importance("sg 5", *matrices(2))
    store.write_importance("sg 5", local, global_)

    address = f"{store.uri}/importance.zarr"
    for consolidated in (None, True, False):
        with xr.open_zarr(address, group="sg 5", consolidated=consolidated) as opened:
            xr.testing.assert_equal(opened.load(), local)
            assert opened.mass.sel(scan="s1", target="lösion", roi="lung (all)") == local.mass[1, 1, 2]
        with xr.open_zarr(address, group="sg 5/global", consolidated=consolidated) as opened:
            xr.testing.assert_equal(opened.load(), global_)
    xr.testing.assert_identical(store.importance("sg 5"), local)
    xr.testing.assert_identical(store.global_importance("sg 5"), global_)
    assert store.importance("vanilla_gradient").sizes["scan"] == 1


def test_missing_matrices_name_those_there_are(store):
    with pytest.raises(StoreError, match="'sg5'; allowed: no label yet"):
        store.importance("sg5")
    store.write_importance("smoothgrad", *matrices(1))
    with pytest.raises(StoreError, match="'sg5'; allowed: smoothgrad; pick one"):
        store.global_importance("sg5")


def test_a_label_stays_as_it_was_until_all_of_it_is_written_anew(store):
    store.write_importance("a", *matrices(1))
    store.write_importance("b", *matrices(1))
    broken = matrices(1)[1].assign(bad=("t", np.array([1j], dtype="c32")))
    with pytest.raises((TypeError, ValueError)):
        store.write_importance("a", matrices(2)[0], broken)
    xr.testing.assert_identical(store.importance("a"), matrices(1)[0])
    with xr.open_zarr(f"{store.uri}/importance.zarr", group="a") as opened:
        xr.testing.assert_equal(opened.load(), matrices(1)[0])
    with xr.open_zarr(f"{store.uri}/importance.zarr", group="b") as opened:
        assert opened.sizes["scan"] == 1
