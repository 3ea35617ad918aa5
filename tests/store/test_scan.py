import dataclasses
import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
import xarray as xr
import zarr
from ome_zarr_models.v05 import Image
from zarr.errors import ZarrUserWarning

from agg2exp_core.errors import StoreError
from agg2exp_core.store import Unit, open_store
from agg2exp_core.store.nodes import checksum
from tests.store.conftest import CLASS_NAMES, SHAPE


def test_image_comes_back_bit_for_bit(store, scan):
    place = store.scan("s0001")
    assert store.scans() == []
    assert place.content_hash() is None
    with pytest.raises(StoreError, match="no image"):
        place.image()
    place.write_image(scan)
    place.write_image(scan)
    back = open_store(store.uri).scan("s0001").image()
    assert back.image.numpy().tobytes() == scan.image.numpy().tobytes()
    assert back.image.dtype == torch.float32
    np.testing.assert_array_equal(back.affine, scan.affine)
    np.testing.assert_array_equal(back.source.affine, scan.source.affine)
    assert (back.scan_id, back.source.shape, back.content_hash) == ("s0001", (5, 6, 7), "abc123")
    assert store.scans() == ["s0001"]
    assert place.content_hash() == "abc123"


def test_another_image_takes_the_place(store, scan):
    place = store.scan("s0001")
    place.write_image(scan)
    place.write_image(dataclasses.replace(scan, image=scan.image[:1, :4] * 2, content_hash="def"))
    assert place.content_hash() == "def"
    assert torch.equal(place.image().image, scan.image[:1, :4] * 2)


def test_prediction_comes_back(store, scan, prediction):
    place = store.scan("s0001")
    with pytest.raises(StoreError, match="store the image of this scan first"):
        place.write_prediction(prediction, "id1")
    place.write_image(scan)
    assert place.prediction() is None
    assert place.prediction_identity() is None
    for identity in ("id1", "id1", "id2"):
        place.write_prediction(prediction, identity)
    back = place.prediction()
    assert back is not None
    assert place.prediction_identity() == "id2"
    assert back.class_names == CLASS_NAMES
    assert back.labels.dtype == np.uint8
    np.testing.assert_array_equal(back.labels, prediction.labels)
    np.testing.assert_array_equal(back.own_logit, prediction.own_logit)
    np.testing.assert_array_equal(back.own_probability, prediction.own_probability)


def test_rois_may_overlap_and_have_kinds(store, scan):
    place = store.scan("s0001")
    place.write_image(scan)
    masks = {"effusion (left)": np.random.default_rng(0).random(SHAPE) < 0.5, "all": np.ones(SHAPE, bool)}
    for name, mask in masks.items():
        place.write_roi(name, mask, kind="pathology" if "effusion" in name else "extra")
    place.write_roi("all", masks["all"], kind="extra")
    for name, mask in place.rois().items():
        assert mask.dtype == bool
        np.testing.assert_array_equal(mask.compute(), masks[name])
    assert set(place.rois()) == set(masks)
    sums = {name: hashlib.sha256(mask.astype(np.uint8).tobytes()).hexdigest() for name, mask in masks.items()}
    assert place.roi_checksums() == sums
    assert set(place.rois(kind="pathology")) == {"effusion (left)"}
    with pytest.raises(StoreError, match="rename the RoI"):
        place.write_roi("prediction", masks["all"], kind="extra")


def test_image_and_every_label_are_valid_ome_zarr(store, scan, prediction):
    place = store.scan("s0001")
    place.write_image(scan)
    place.write_prediction(prediction, "id1")
    place.write_roi("effusion", prediction.mask("grey_matter"), kind="pathology")
    place.write_unit("vanilla_gradient", "grey_matter", prediction.own_logit, identity="i", info={})

    model = Image.from_zarr(zarr.open_group(store.root.at("scans/s0001.zarr"), mode="r"))
    assert model.labels is not None
    assert set(model.labels.label_paths) == {"prediction", "effusion"}
    labels = [model.labels.get_image_labels_group(name) for name in model.labels.label_paths]
    for image, axes in [(model, "cxyz"), *((label, "xyz") for label in labels)]:
        (multiscale,) = image.ome_attributes.multiscales
        assert "".join(axis.name for axis in multiscale.axes) == axes
        assert [axis.unit for axis in multiscale.axes if axis.type == "space"] == ["millimeter"] * 3
        scale = multiscale.datasets[0].coordinateTransformations[0].scale
        np.testing.assert_allclose(scale[-3:], scan.grid.spacing_mm)


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("shape", [SHAPE, (2, *SHAPE), (130, 5, 3)], ids=str)
def test_a_unit_comes_back(store, shape):
    place = store.scan("s0001")
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    values.flat[:3] = [0.0, -0.0, 1e-42]
    unit = place.write_unit("sg5", "white matter", values, identity="id1", info={"residual": np.float32(0.5)})
    assert unit == Unit("id1", checksum(values), {"residual": 0.5}, shape)
    if len(shape) == 3:
        assert unit.checksum == hashlib.sha256(values.tobytes()).hexdigest()
    assert place.units("sg5") == {"white matter": unit}
    assert place.units("other") == {}
    lazy = place.attribution("sg5", "white matter")
    assert lazy.compute().tobytes() == values.tobytes()
    assert place.verify("sg5", "white matter")
    array = zarr.open_array(store.root.at("scans/s0001.zarr"), path="attributions/sg5/white matter", mode="r")
    assert array.metadata.dimension_names == ("c", "x", "y", "z")[-len(shape) :]


def test_zeros_are_stored_too(store):
    place = store.scan("s0001")
    place.write_unit("sg5", "a", np.zeros(SHAPE), identity="id1", info={"residual": float("nan")})
    assert place.verify("sg5", "a")
    assert place.units("sg5")["a"].info == {"residual": None}


def test_a_missing_chunk_is_found(store, values):
    place = store.scan("s0001")
    place.write_unit("sg5", "a", values, identity="id1", info={})
    store.root.delete("scans/s0001.zarr/attributions/sg5/a/c/0/0/0")
    assert not place.verify("sg5", "a")


def test_a_unit_of_another_identity_takes_the_place(store, values):
    place = store.scan("s0001")
    place.write_unit("sg5", "a", values, identity="id1", info={})
    place.write_unit("sg5", "a", values[:4] * 2, identity="id2", info={})
    assert place.units("sg5")["a"].identity == "id2"
    np.testing.assert_array_equal(place.attribution("sg5", "a").compute(), values[:4] * 2)


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:-9] + b"123456789"]
)
def test_a_damaged_chunk_is_found(store, values, damage):
    place = store.scan("s0001")
    place.write_unit("sg5", "a", values, identity="id1", info={})
    key = "scans/s0001.zarr/attributions/sg5/a/c/0/0/0"
    store.root.put(key, damage(store.root.get(key)))
    assert not place.verify("sg5", "a")
    place.write_unit("sg5", "a", values, identity="id1", info={})
    assert place.verify("sg5", "a")


def test_missing_units_and_bad_names_are_refused(store, values):
    place = store.scan("s0001")
    with pytest.raises(StoreError, match="sg5/a"):
        place.attribution("sg5", "a")
    with pytest.raises(StoreError, match="rename the class"):
        place.write_unit("sg5", "a/b", values, identity="i", info={})
    with pytest.raises(StoreError, match="rename the label"):
        place.write_unit("../x", "a", values, identity="i", info={})
    with pytest.raises(StoreError, match="rename the scan"):
        store.scan("a/b")


def test_voxels_go_and_rows_stay(store, values):
    place = store.scan("s0001")
    rows = xr.Dataset({"mass": (("target", "roi"), np.eye(2))}, {"target": ["a", "b"], "roi": ["a", "b"]})
    assert place.importance("sg5") is None
    for label in ("sg5", "vg"):
        place.write_unit(label, "a", values, identity="id1", info={})
        place.write_importance(label, rows, "old")
    place.write_importance("sg5", rows * 2, "new")
    n_bytes = place.n_bytes("sg5", "a")
    assert values.nbytes / 4 < n_bytes < 2 * values.nbytes + 2000
    place.drop_voxels("sg5", "a")
    assert place.units("sg5") == {}
    assert place.n_bytes("sg5", "a") == 0
    assert place.units("vg").keys() == {"a"}
    kept, identity = place.importance("sg5")
    assert identity == "new"
    xr.testing.assert_identical(kept, rows * 2)
    place.drop_voxels("nothing", "a")


def write_class(uri, class_name, start):
    start.wait()
    rng = np.random.default_rng(int(class_name))
    for label in ("sg5", "vg"):
        values = rng.normal(size=(130, 40, 10)).astype(np.float32)
        open_store(uri).scan("s0001").write_unit(label, class_name, values, identity=class_name, info={})


@pytest.mark.slow
def test_processes_write_classes_of_one_scan_at_once(store):
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    writers = [context.Process(target=write_class, args=(store.uri, name, start)) for name in "01"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    place = store.scan("s0001")
    for label in ("sg5", "vg"):
        assert set(place.units(label)) == set("01")
        assert all(place.verify(label, name) for name in "01")


KILLED = """
import sys, numpy as np
from agg2exp_core.store import open_store
values = np.random.default_rng(0).normal(size=(640, 256, 128)).astype(np.float32)
place = open_store(sys.argv[1]).scan("s0001")
print("go", flush=True)
place.write_unit("sg5", "a", values, identity=sys.argv[2], info={})
"""


@pytest.mark.parametrize("before", [None, "old"], ids=["first write", "another identity before"])
def test_a_killed_writer_leaves_nothing_to_see(tmp_path, values, before):
    store = open_store(tmp_path / "store", create=True)
    place = store.scan("s0001")
    if before:
        place.write_unit("sg5", "a", values, identity=before, info={})
    folder = tmp_path / "store/scans/s0001.zarr/attributions/sg5/a"
    old_chunks = set(folder.rglob("*"))
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, store.uri, "new"], stdout=subprocess.PIPE, env=os.environ
    ) as writer:
        assert writer.stdout.readline() == b"go\n"
        deadline = time.monotonic() + 60
        while not set(folder.glob("c/[1-4]/*/*")) - old_chunks and time.monotonic() < deadline:
            time.sleep(0.001)
        writer.send_signal(signal.SIGKILL)
    assert writer.returncode == -signal.SIGKILL
    assert list(folder.glob("c/[1-4]/*/*"))
    assert not (folder / "zarr.json").exists()
    assert place.units("sg5") == {}
    group = zarr.open_group(tmp_path / "store/scans/s0001.zarr/attributions/sg5", mode="r")
    with pytest.warns(ZarrUserWarning, match="a is not recognized"):
        assert dict(group.members()) == {}
    place.write_unit("sg5", "a", values, identity="new", info={})
    assert place.verify("sg5", "a")
    np.testing.assert_array_equal(place.attribution("sg5", "a").compute(), values)
