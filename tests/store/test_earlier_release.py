"""A store that release 0.1.0 wrote: it opens, reads as it should, and today's code goes on with it.

``tests/data/store_0.1.0.tar.xz`` holds a model, two scans with an extra region, and what that release made of
them; what it says is read here by plain zarr, xarray and json as well.
"""

import json
import re
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from agg2exp_core.pipeline import ExplainSettings, ReduceSettings, explain_cohort, plan_scans, reduce_store
from agg2exp_core.pipeline.benchmark import benchmark_cohort
from agg2exp_core.pipeline.benchmark_settings import BenchmarkSettings
from agg2exp_core.store import Failure, Label, WriteQueue, open_store
from agg2exp_core.store.evaluations import Evaluations

ARCHIVE = Path(__file__).parents[1] / "data" / "store_0.1.0.tar.xz"
SCANS = ("s0001", "s0002")
CLASSES = ("background", "left", "right", "middle")
REGIONS = (*CLASSES, "lesion")

GRADIENT, SMOOTH, HALF, SHAPLEY = "vanilla_gradient", "sg2", "ig16", "shap"
STEPS, REFERENCE = "integrated_gradients-472ae8f4", "shapley_semantic-e78fd919"
VOXELS = {GRADIENT: CLASSES, HALF: ("left", "right"), STEPS: CLASSES, REFERENCE: CLASSES}
SUMS = {SMOOTH: CLASSES, SHAPLEY: CLASSES}
MATRICES = (GRADIENT, SMOOTH, HALF, SHAPLEY)
JUDGED, METRICS = (GRADIENT, STEPS), ("faithfulness", "complexity", "roi_faithfulness", "roi_distance")


@pytest.fixture(scope="session")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("release_0.1.0")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def old(release):
    return open_store(release / "store")


@pytest.fixture
def copy(release, tmp_path):
    """A copy that a test may write to."""
    shutil.copytree(release, tmp_path, dirs_exist_ok=True)
    return tmp_path


def document(store, *path):
    return json.loads(Path(store.uri, *path).read_text())


def own(store, *path):
    """What the release kept of a node beside what Zarr and OME ask for."""
    return document(store, *path, "zarr.json")["attributes"]["agg2exp"]


def plain(store, *path):
    """Voxels as any Zarr reader gets them."""
    return zarr.open_array(Path(store.uri, *path), mode="r")[...]


def keys_and_bytes(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def is_laid_out_otherwise_since(key):
    """Rows are one object a scan, matrices grow along `scan`: a store gets both with its first reduction."""
    return (
        key == "agg2exp.json"
        or "importance" in key.split("/")
        or key.startswith(("importance.zarr/", "rows/"))
    )


def kept(keys):
    return {key: content for key, content in keys.items() if not is_laid_out_otherwise_since(key)}


def matrices_of(store, label):
    """Matrices and summary; the interval comes of another resampling since."""
    return store.importance(label), store.global_importance(label).drop_vars(["ci_low", "ci_high"])


def test_model_labels_and_scans(old):
    assert old.model == document(old, "model.json")
    assert old.model["class_names"] == list(CLASSES)
    assert old.scans() == list(SCANS)
    labels = old.labels()
    assert labels.keys() == {*VOXELS, *SUMS}
    assert labels[SMOOTH] == Label(
        "smoothgrad", {"aggregation": "sum", "n_samples": 2, "seed": 0, "sigma": 0.1}
    )
    assert labels[HALF].params["stored"] == "float16"
    assert "stored" not in labels[STEPS].params


@pytest.mark.parametrize("scan_id", SCANS)
def test_image_prediction_and_regions(old, scan_id):
    scan_store, folder = old.scan(scan_id), ("scans", f"{scan_id}.zarr")
    told = own(old, *folder)
    image = scan_store.image()
    assert np.array_equal(image.image.numpy(), plain(old, *folder, "0"))
    assert image.image.shape[0] == 1
    assert image.affine.tolist() == told["affine"]
    assert (list(image.source.shape), image.source.affine.tolist()) == tuple(told["source"].values())[::-1]
    assert image.content_hash == scan_store.content_hash() == told["content_hash"]

    prediction, told = scan_store.prediction(), own(old, *folder, "labels", "prediction")
    assert prediction.class_names == prediction.present == CLASSES
    assert np.array_equal(prediction.labels, plain(old, *folder, "labels", "prediction", "0"))
    for name in ("own_logit", "own_probability"):
        assert np.array_equal(getattr(prediction, name), plain(old, *folder, "prediction", name))
    assert scan_store.prediction_identity() == told["identity"]
    assert scan_store.doubt() == told["doubt"]
    assert prediction.entropy == told["doubt"]["entropy"]
    assert prediction.uncertainty == told["doubt"]["uncertainty"]

    (name, mask), *others = scan_store.rois("extra").items()
    assert (name, others, scan_store.rois("pathology")) == ("lesion", [], {})
    assert mask.dtype == bool
    assert 0 < mask.sum().compute() < mask.size
    assert np.array_equal(mask.compute(), plain(old, *folder, "labels", "lesion", "0"))
    assert scan_store.roi_checksums() == {"lesion": own(old, *folder, "labels", "lesion", "0")["checksum"]}


@pytest.mark.parametrize("scan_id", SCANS)
@pytest.mark.parametrize("label", [*VOXELS, *SUMS])
def test_attributions_and_sums(old, scan_id, label):
    scan_store, folder = old.scan(scan_id), ("scans", f"{scan_id}.zarr")
    units = scan_store.units(label)
    assert units.keys() == set(VOXELS.get(label, ()))
    for name, unit in units.items():
        path = (*folder, "attributions", label, name)
        told, stored = own(old, *path), plain(old, *path)
        assert (unit.identity, unit.checksum, unit.info, unit.finished) == tuple(
            told[key] for key in ("identity", "checksum", "info", "finished")
        )
        if label == HALF:
            assert stored.dtype == np.float16
            scales = np.repeat(np.float32(told["scales"]), 16)[: len(stored)]
            stored = stored.astype(np.float32) * scales[:, None, None]
        values = scan_store.attribution(label, name)
        assert (values.dtype, unit.shape) == (np.float32, values.shape)
        assert np.array_equal(values.compute(), stored)
        assert np.abs(stored).max() > 0
        assert scan_store.verify(label, name)

    sums = scan_store.sums(label)
    assert sums.keys() == set(SUMS.get(label, ()))
    for name, unit in sums.items():
        path = (*folder, "sums", label, name)
        told = own(old, *path)
        assert (unit.identity, unit.checksum, unit.info) == (told["identity"], told["checksum"], told["info"])
        assert np.array_equal(scan_store.read_sums(label, name), plain(old, *path))
        assert unit.shape == (4, len(REGIONS) + 1)
        assert (unit.dropped_at is None) == (label == SMOOTH)


def share(values, mask):
    """The share of a region in an attribution, as the paper writes it."""
    return np.abs(values[mask]).sum(dtype=np.float64) / np.abs(values).sum(dtype=np.float64)


@pytest.mark.parametrize("label", MATRICES)
def test_matrices(old, label):
    local, summary = old.importance(label), old.global_importance(label)
    for found, group in ((local, label), (summary, f"{label}/global")):
        for consolidated in (True, False):
            address = f"{old.uri}/importance.zarr"
            with xr.open_zarr(address, group=group, consolidated=consolidated) as opened:
                xr.testing.assert_equal(opened.load(), found)
    assert (tuple(local.scan.values), tuple(local.target.values)) == (SCANS, CLASSES)
    assert tuple(local.roi.values) == tuple(summary.roi.values) == REGIONS
    explained = list(VOXELS.get(label, CLASSES))
    np.testing.assert_allclose(local.mass.sel(roi=list(CLASSES), target=explained).sum("roi"), 1)
    assert local.mass.sel(target=[name for name in CLASSES if name not in explained]).isnull().all()
    np.testing.assert_allclose(summary["mean"], local.mass.mean("scan"))
    assert summary.n.sel(target=explained).values.tolist() == [[len(SCANS)] * len(REGIONS)] * len(explained)
    for scan_id in SCANS:
        rows, identity = old.scan(scan_id).importance(label)
        told = document(old, "scans", f"{scan_id}.zarr", "importance", label, "zarr.json")
        assert identity == told["attributes"]["identity"]
        xr.testing.assert_equal(rows, local.sel(scan=scan_id, drop=True))


def test_matrices_are_those_of_the_voxels(old):
    local = old.importance(GRADIENT)
    for scan_id in SCANS:
        folder = ("scans", f"{scan_id}.zarr")
        labels, lesion = (plain(old, *folder, "labels", name, "0") for name in ("prediction", "lesion"))
        masks = {**{name: labels == index for index, name in enumerate(CLASSES)}, "lesion": lesion > 0}
        for target in CLASSES:
            values = plain(old, *folder, "attributions", GRADIENT, target)
            for roi, mask in masks.items():
                found = local.mass.sel(scan=scan_id, target=target, roi=roi)
                assert found == pytest.approx(share(values, mask), rel=1e-6)


@pytest.mark.parametrize("scan_id", SCANS)
def test_scores_and_output_drops(old, scan_id):
    evaluations = Evaluations(old, scan_id)
    scores = evaluations.all_scores()
    assert scores.keys() == {(label, metric) for label in JUDGED for metric in METRICS}
    for (label, metric), record in scores.items():
        told = document(old, "benchmark", "scores", scan_id, label, f"{metric}.json")
        assert record == evaluations.scores(label, metric, told["identity"]) == told
        assert evaluations.scores(label, metric, "of something else") is None
        assert record["scores"].keys() == set(CLASSES)
    stored = sorted(Path(old.uri, "benchmark/falls", scan_id).iterdir())
    assert len(stored) == 2
    for folder in stored:
        rows = json.loads((folder / "0.json").read_text())
        drops = evaluations.output_drops(folder.name, len(rows), refuse)
        assert drops.tolist() == rows
        assert drops.shape[1] == len(CLASSES)


def refuse(*_):
    raise AssertionError("what is stored is not made again")


def test_failures_and_files(copy):
    store = open_store(copy / "store")
    assert store.failures() == {}
    record = copy / "store" / "failures" / "s0003.json"
    record.parent.mkdir()
    record.write_bytes(
        b'{"reason":"no voxel; allowed: a volume; export it again","stage":"read"}'
    )  # by 0.1.0
    failure = Failure("read", "no voxel; allowed: a volume; export it again")
    assert store.failures() == {"s0003": failure}
    assert store.failure("s0003") == failure
    before = record.read_bytes()
    store.record_failure("s0003", failure.stage, failure.reason)
    assert record.read_bytes() == before
    assert json.loads(store.read_file(f"analysis/{GRADIENT}/summary.json"))["n_scans"] == len(SCANS)


def write_again(old, new):
    """Write all that a store holds into another by the store's own methods."""
    new.register_model(old.model)
    for name, label in old.labels().items():
        new.register_label(name, label.method, label.params)
    for scan_id in old.scans():
        source, target = old.scan(scan_id), new.scan(scan_id)
        target.write_image(source.image())
        target.write_prediction(source.prediction(), source.prediction_identity())
        for name, mask in source.rois("extra").items():
            target.write_roi(name, mask.compute(), "extra")
        with WriteQueue() as queue:
            for label in VOXELS:
                dtype = old.labels()[label].params.get("stored", "float32")
                for name, unit in source.units(label).items():
                    values = source.attribution(label, name).compute()
                    writer = target.unit_writer(label, name, unit.shape, unit.identity, queue, dtype)
                    for start in range(0, len(values), 5):
                        writer.append(values[start : start + 5])
                    assert writer.finish(unit.info) == unit
        for label in SUMS:
            for name, sums in source.sums(label).items():
                values = source.read_sums(label, name)
                target.write_sums(label, name, values, identity=sums.identity, info=sums.info)
        for label in (*VOXELS, *SUMS):
            if found := source.importance(label):
                target.write_importance(label, *found)
        for (label, metric), record in Evaluations(old, scan_id).all_scores().items():
            about = {key: value for key, value in record.items() if key != "identity"}
            Evaluations(new, scan_id).write_scores(label, metric, record["identity"], about)
        for folder in Path(old.uri, "benchmark/falls", scan_id).iterdir():
            rows = np.array(json.loads((folder / "0.json").read_text()))
            Evaluations(new, scan_id).output_drops(
                folder.name, len(rows), lambda start, stop, rows=rows: rows
            )
    for label in MATRICES:
        new.write_importance(label, old.importance(label), old.global_importance(label))


OF_UNIT = r"scans/[^/]+/attributions/[^/]+/[^/]+/"
LAYOUT = ("chunk_grid", "codecs")


def test_the_same_values_written_again_are_the_same_bytes(old, tmp_path):
    new = open_store(tmp_path / "store", create=True)
    write_again(old, new)
    for name in ("benchmark.parquet", "benchmark/table1.md", f"analysis/{GRADIENT}/normal.csv"):
        new.write_file(name, old.read_file(name))
    expected, found = (kept(keys_and_bytes(Path(store.uri))) for store in (old, new))
    made_by_nobody_here = {  # files beside Zarr, and the groups of labels whose voxels are gone or never were
        key
        for key in expected
        if key.startswith(("benchmark/table1", "benchmark/by", "benchmark/roi", "analysis/"))
    } | {f"scans/{scan_id}.zarr/attributions/{SHAPLEY}/zarr.json" for scan_id in SCANS}
    units = {key for key in expected.keys() | found.keys() if re.match(OF_UNIT, key)}
    assert found.keys() - units >= expected.keys() - units - made_by_nobody_here
    assert found.keys() - units <= expected.keys()
    for key in found.keys() - units:
        assert without_makers(key, found[key]) == without_makers(key, expected[key]), key
    for key in units:  # the same voxels in shards: that release had an object a chunk
        if key.endswith("/zarr.json"):
            documents = [
                {name: value for name, value in document(store, key).items() if name not in LAYOUT}
                for store in (old, new)
            ]
            for of_store in documents:
                of_store["attributes"]["agg2exp"].pop("finished")
                of_store["attributes"]["agg2exp"].pop("made_by", None)
            assert documents[0] == documents[1], key
            voxels = [plain(store, key.removesuffix("/zarr.json")) for store in (old, new)]
            assert voxels[0].tobytes() == voxels[1].tobytes()
            assert voxels[0].dtype == voxels[1].dtype
    for label in MATRICES:
        for scan_id in SCANS:
            rows, name = old.scan(scan_id).importance(label)
            xr.testing.assert_identical(new.scan(scan_id).importance(label)[0], rows)
            assert new.scan(scan_id).has_rows(label, name)
        xr.testing.assert_identical(new.importance(label), old.importance(label))
        xr.testing.assert_identical(new.global_importance(label), old.global_importance(label))


def without_makers(key, content):
    """Without what that release did not tell yet."""
    if not key.endswith("zarr.json"):
        return content
    told = json.loads(content)
    told.get("attributes", {}).get("agg2exp", {}).pop("made_by", None)
    return told


# What today's pipeline does with it: nothing is computed again.


def settings_of(folder, **options):
    return ExplainSettings(
        store=str(folder / "store"),
        model=str(folder / "model"),
        rois=str(folder / "rois"),
        device="cpu",
        **options,
    )


AS_BEFORE = {
    GRADIENT: {"method": "vanilla_gradient"},
    SMOOTH: {"method": "smoothgrad", "params": {"n_samples": 2}, "label": SMOOTH, "voxels": False},
    HALF: {
        "method": "integrated_gradients",
        "params": {"n_steps": 2},
        "label": HALF,
        "classes": ["left", "right"],
        "stored": "float16",
    },
    SHAPLEY: {"method": "shapley_semantic", "label": SHAPLEY},
}


@pytest.mark.parametrize("label", AS_BEFORE)
def test_nothing_is_explained_again(copy, label):
    before, store = keys_and_bytes(copy / "store"), open_store(copy / "store")
    matrices = matrices_of(store, label)
    settings = settings_of(copy, **AS_BEFORE[label])
    assert settings.result_label == label
    planned = plan_scans([str(copy / "scans")], None, settings)
    assert [job.scan_id for job in planned.jobs] == list(SCANS)
    summary = explain_cohort(planned.jobs, settings, planned.rejected)
    n_kept = len(VOXELS.get(label, CLASSES))
    assert [(o.status, o.reason, o.n_computed, o.n_kept) for o in summary.outcomes] == [
        ("done", "", 0, n_kept)
    ] * 2
    assert summary.n_cohort == len(SCANS)
    after = keys_and_bytes(copy / "store")
    marks = {key: after.pop(key) for key in list(after) if key.startswith("known")}
    assert kept(after) == kept(before)
    for found, expected in zip(matrices_of(store, label), matrices, strict=True):
        xr.testing.assert_allclose(found, expected, rtol=1e-12)
    assert len(marks) == len(SCANS) + 1  # and the key of the digests in them
    again = plan_scans([str(copy / "scans")], None, settings)
    assert ([job.scan_id for job in again.kept], again.jobs) == (list(SCANS), [])
    explain_cohort(planned.jobs, settings, planned.rejected)
    assert keys_and_bytes(copy / "store") == after | marks


def test_no_score_is_made_again(copy):
    scores = keys_and_bytes(copy / "store" / "benchmark" / "scores")
    drops = keys_and_bytes(copy / "store" / "benchmark" / "falls")
    table = open_store(copy / "store").read_file("benchmark/table1.csv")
    settings = BenchmarkSettings(
        store=str(copy / "store"),
        model=str(copy / "model"),
        methods=["vanilla_gradient", "integrated_gradients"],
        metrics=list(METRICS),
        method_params={"integrated_gradients": {"n_steps": 2}},
        metric_params={"faithfulness": {"n_subsets": 5, "subset_size": 200}},
        device="cpu",
    )
    jobs = plan_scans([str(copy / "scans")], None, settings.judged[0]).jobs
    outcomes = benchmark_cohort(jobs, settings).outcomes
    n_scores = len(JUDGED) * len(METRICS)
    assert [(o.status, o.reason, o.n_computed, o.n_kept) for o in outcomes] == [("done", "", 0, n_scores)] * 2
    assert keys_and_bytes(copy / "store" / "benchmark" / "scores") == scores
    assert keys_and_bytes(copy / "store" / "benchmark" / "falls") == drops
    assert open_store(copy / "store").read_file("benchmark/table1.csv") == table


def test_rows_that_are_reduced_again_are_equal(copy):
    before, store = keys_and_bytes(copy / "store"), open_store(copy / "store")
    rows = {(scan, label): store.scan(scan).importance(label) for scan in SCANS for label in MATRICES}
    matrices = {label: matrices_of(store, label) for label in MATRICES}
    for summary in reduce_store(ReduceSettings(store=str(copy / "store"), rois=str(copy / "rois"))):
        assert [outcome.status for outcome in summary.outcomes] == ["done", "done"]
    after = keys_and_bytes(copy / "store")
    for key, content in before.items():
        assert is_laid_out_otherwise_since(key) or after[key] == content, key
    for (scan, label), (expected, name) in rows.items():
        xr.testing.assert_identical(store.scan(scan).importance(label)[0], expected)
        assert store.rows(label).identities(scan) == [name]
    for label, both in matrices.items():
        for found, expected in zip(matrices_of(store, label), both, strict=True):
            xr.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("label", MATRICES)
def test_rows_made_anew_are_equal(copy, label):
    """From its voxels and sums as they are, not only because nothing has changed."""
    store = open_store(copy / "store")
    expected = {scan_id: store.scan(scan_id).importance(label) for scan_id in SCANS}
    for scan_id in SCANS:
        shutil.rmtree(copy / f"store/scans/{scan_id}.zarr/importance/{label}")
    reduce_store(ReduceSettings(store=str(copy / "store"), labels=[label]))
    for scan_id, (rows, identity) in expected.items():
        found, name = store.scan(scan_id).importance(label)
        assert name == identity
        xr.testing.assert_allclose(found, rows, rtol=1e-12)
