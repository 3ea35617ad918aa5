"""The flow `explain`, on a real server, with real scans on disk and a real network."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr

from agg2exp_cli.__main__ import run
from agg2exp_core.attribution import attribute
from agg2exp_core.importance import RoiSet, local_importance
from agg2exp_core.models import load_model
from agg2exp_core.prediction import predict
from agg2exp_core.store import open_store
from agg2exp_core.volumes import load_scan
from tests.flows.cohort import arrays, write_model, write_scan

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    write_model(folder / "model")
    for seed in (1, 2):
        write_scan(folder / "scans" / f"s{seed}" / "ct.nii.gz", seed=seed)
    return folder


def explain(folder, out, *options):
    scans = [] if "--only" in options else [str(folder / "scans")]
    options = [option for option in options if option != "--only"]
    return ["explain", *scans, "--model", str(folder / "model"), "--out", str(out), *options]


@pytest.fixture(scope="module")
def store(folder, prefect_server):
    """An undisturbed run of both scans."""
    out = folder / "undisturbed"
    assert run(explain(folder, out, "--set", "n_samples=3", "--label", "sg")) == 0
    return out


def task_runs(flow_run_name):
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName

    with get_client(sync_client=True) as client:
        by_name = FlowRunFilter(name=FlowRunFilterName(any_=[flow_run_name]))
        runs = client.read_task_runs(flow_run_filter=by_name)
        return {task_run.name: task_run.state.type.value for task_run in runs}


def logs_of(flow_run_name):
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterName,
        LogFilter,
        LogFilterFlowRunId,
    )
    from prefect.logging.handlers import APILogWorker

    APILogWorker.drain_all(timeout=10, at_exit=False)
    with get_client(sync_client=True) as client:
        by_name = FlowRunFilter(name=FlowRunFilterName(any_=[flow_run_name]))
        (flow_run,) = client.read_flow_runs(flow_run_filter=by_name)
        logs = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[flow_run.id])))
        messages = [log.message for log in logs] + [flow_run.state.message or ""]
    assert any("Hounsfield" in message for message in messages)
    return messages


def test_the_store_holds_what_the_core_computes(folder, store):
    model = load_model(folder / "model", "cpu")
    scan = load_scan(folder / "scans" / "s1" / "ct.nii.gz", model, "s1")
    prediction = predict(model, scan)
    assert len(prediction.present) >= 3
    items = list(attribute(model, scan, "smoothgrad", prediction=prediction, n_samples=3))
    there = open_store(store).scan("s1")
    assert set(there.units("sg")) == set(prediction.present)
    for item in items:
        assert np.array_equal(there.attribution("sg", item.class_name).compute(), item.values)
        assert there.verify("sg", item.class_name)
    matrices = xr.open_zarr(f"{store}/importance.zarr", group="sg")
    expected = local_importance(items, RoiSet(prediction.labels, prediction.class_names))
    ours = matrices.sel(scan="s1")
    for name in expected.data_vars:
        np.testing.assert_allclose(ours[name].values, expected[name].values, rtol=1e-10, atol=1e-12)
    overall = xr.open_zarr(f"{store}/importance.zarr", group="sg/global")
    np.testing.assert_allclose(overall["mean"], matrices["mass"].mean("scan"), rtol=1e-12)


def test_rows_sum_to_one_and_every_file_is_there(store):
    matrices = xr.open_zarr(f"{store}/importance.zarr", group="sg")
    sums = matrices["mass"].sum("roi", skipna=True, min_count=1).values
    np.testing.assert_allclose(sums[np.isfinite(sums)], 1)
    report = (store / "report" / "index.html").read_text()
    assert "s1" in report
    assert (store / "report" / "sg" / "pictures" / "heat_map.png").stat().st_size > 10_000


def test_runs_have_readable_names_and_artifacts(store):
    names = task_runs("s1 sg")
    assert names.keys() >= {"segment s1", "importance s1 sg"}
    assert any(name.startswith("attribute s1 sg") for name in names)
    assert set(names.values()) == {"COMPLETED"}
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        keys = [artifact.key for artifact in client.read_artifacts()]
    for key in ("scans-sg", "matrix-sg", "heat-map-sg", "progress-s1-sg"):
        assert any((name or "").startswith(key) for name in keys)


def test_one_class_per_task_gives_the_same_bits(folder, store, tmp_path):
    out = tmp_path / "store"
    options = ("--set", "n_samples=3", "--label", "sg", "--classes-per-task", "1")
    assert run(explain(folder, out, *options)) == 0
    assert arrays(out) == arrays(store)
    n_classes = len(open_store(out).scan("s1").units("sg"))
    names = task_runs("s1 sg")
    assert sum(name.startswith("attribute s1 sg") for name in names) >= n_classes


def test_a_second_run_computes_nothing(folder, store, capsys):
    before = arrays(store)
    assert run(explain(folder, store, "--set", "n_samples=3", "--label", "sg")) == 0
    assert "computed 0 attributions" in capsys.readouterr().out
    assert arrays(store) == before


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_stopped(folder, store, tmp_path, capsys):
    out = tmp_path / "store"
    options = ("--set", "n_samples=3", "--label", "sg", "--classes-per-task", "1")
    command = [sys.executable, "-m", "agg2exp_cli", *explain(folder, out, *options)]
    process = subprocess.Popen(command, env=os.environ, stdout=subprocess.DEVNULL)
    units = out / "scans" / "s1.zarr" / "attributions" / "sg"
    deadline = time.monotonic() + 90
    while not list(units.glob("*/zarr.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = len(list(out.glob("scans/*/attributions/sg/*/zarr.json")))
    total = len(list(store.glob("scans/*/attributions/sg/*/zarr.json")))
    assert 1 <= finished < total
    assert run(explain(folder, out, *options)) == 0
    assert f"computed {total - finished} attributions, kept {finished}" in capsys.readouterr().out
    assert arrays(out) == arrays(store)


def test_bad_scans_are_recorded_and_the_others_complete(folder, tmp_path, capsys):
    (tmp_path / "cut.nii.gz").write_bytes((folder / "scans" / "s1" / "ct.nii.gz").read_bytes()[:900])
    write_scan(tmp_path / "good.nii.gz", seed=3)
    positive = write_scan(tmp_path / "mr.nii.gz", seed=4)
    import nibabel as nib

    image = nib.load(positive)
    nib.save(nib.Nifti1Image(np.abs(np.asanyarray(image.dataobj)), image.affine), positive)
    out = tmp_path / "store"
    paths = [str(tmp_path / f"{name}.nii.gz") for name in ("cut", "good", "mr")]
    code = run(explain(folder, out, "--only", *paths, "--method", "vanilla_gradient"))
    assert code == 3
    shown = capsys.readouterr()
    assert shown.err.count("error: ") == 2
    assert "cut.nii.gz" in shown.err
    failures = open_store(out).failures()
    assert set(failures) == {"cut", "mr"}
    assert "Hounsfield" in failures["mr"].reason
    assert str(tmp_path) not in json.dumps({name: f.reason for name, f in failures.items()})
    assert xr.open_zarr(f"{out}/importance.zarr", group="vanilla_gradient")["scan"].values.tolist() == [
        "good"
    ]
    assert "Hounsfield" in (out / "report" / "index.html").read_text()
    assert str(tmp_path) not in "".join(logs_of("mr vanilla_gradient"))


def test_labels_models_and_scan_ids_are_never_mixed(folder, store, tmp_path, capsys):
    assert run(explain(folder, store, "--set", "n_samples=2", "--label", "sg")) == 2
    assert "label" in capsys.readouterr().err
    write_model(tmp_path / "model", seed=5)
    write_scan(tmp_path / "scans" / "s1" / "ct.nii.gz", seed=9)
    assert run(explain(tmp_path, store, "--set", "n_samples=3", "--label", "sg")) == 2
    assert "another model" in capsys.readouterr().err
    other = ["--only", str(tmp_path / "scans" / "s1" / "ct.nii.gz"), "--scan-id", "s1"]
    assert run(explain(folder, store, *other, "--set", "n_samples=3", "--label", "sg")) == 1
    assert "another scan" in open_store(store).failures()["s1"].reason


def test_extra_regions_and_an_explained_region(folder, tmp_path):
    out, regions = tmp_path / "store", tmp_path / "rois" / "s1"
    mask = np.zeros((24, 20, 22), np.uint8)
    mask[4:14, 3:15, 5:17] = 1
    import nibabel as nib

    regions.mkdir(parents=True)
    nib.save(nib.Nifti1Image(mask, np.diag([-2.0, -2.0, 2.0, 1.0])), regions / "lesion.nii.gz")
    scan = ["--only", str(folder / "scans" / "s1" / "ct.nii.gz"), "--scan-id", "s1"]
    options = ["--method", "vanilla_gradient", "--rois", str(tmp_path / "rois")]
    assert run(explain(folder, out, *scan, *options)) == 0
    assert (
        run(explain(folder, out, *scan, *options, "--set", "aggregation=roi:lesion", "--label", "why")) == 0
    )
    matrices = xr.open_zarr(f"{out}/importance.zarr", group="vanilla_gradient")
    assert matrices["roi_kind"].sel(roi="lesion") == "extra"
    assert int(matrices["n_voxels"].sel(roi="lesion", scan="s1")) == mask.sum()
    why = xr.open_zarr(f"{out}/importance.zarr", group="why")
    assert np.isfinite(why["mass"].sel(roi="lesion")).all()


def test_reduce_takes_new_regions_from_stored_voxels(folder, store, tmp_path, capsys):
    labels = tmp_path / "rois"
    labels.mkdir()
    import nibabel as nib

    values = np.zeros((24, 20, 22), np.uint8)
    values[:12] = 1
    values[12:, :10] = 2
    for scan_id in ("s1", "s2"):
        nib.save(nib.Nifti1Image(values, np.diag([-2.0, -2.0, 2.0, 1.0])), labels / f"{scan_id}.nii.gz")
    (labels / "labels.json").write_text(json.dumps({"1": "front", "2": "side"}))
    before = xr.open_zarr(f"{store}/importance.zarr", group="sg").load()
    assert run(["reduce", str(store), "--rois", str(labels)]) == 0
    after = xr.open_zarr(f"{store}/importance.zarr", group="sg").load()
    assert {"front", "side"} <= set(after["roi"].values.tolist())
    np.testing.assert_array_equal(after["mass"].sel(roi=before["roi"]), before["mass"])
    assert run(["reduce", str(store), "--label", "sgg"]) == 2
    assert "did you mean 'sg'" in capsys.readouterr().err


def test_matrices_without_voxels_are_those_with_them(folder, store, tmp_path, capsys):
    out = tmp_path / "store"
    options = ("--set", "n_samples=3", "--label", "sg", "--no-voxels")
    assert run(explain(folder, out, *options)) == 0
    assert not list(out.glob("scans/*/attributions"))
    ours = xr.open_zarr(f"{out}/importance.zarr", group="sg").load()
    theirs = xr.open_zarr(f"{store}/importance.zarr", group="sg").load().sel(roi=ours["roi"])
    xr.testing.assert_allclose(ours, theirs, rtol=1e-12)
    before = arrays(out)
    capsys.readouterr()
    assert run(explain(folder, out, *options)) == 0
    assert "computed 0 attributions" in capsys.readouterr().out
    assert arrays(out) == before


def test_a_killed_run_without_voxels_goes_on_by_whole_task_groups(folder, tmp_path, capsys):
    out, whole = tmp_path / "store", tmp_path / "whole"
    options = ("--set", "n_samples=3", "--label", "sg", "--classes-per-task", "1", "--no-voxels")
    assert run(explain(folder, whole, *options)) == 0
    total = len(list(whole.glob("scans/*/sums/sg/*/zarr.json")))
    process = subprocess.Popen(
        [sys.executable, "-m", "agg2exp_cli", *explain(folder, out, *options)],
        env=os.environ,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 90
    while not list(out.glob("scans/s1.zarr/sums/sg/*/zarr.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = len(list(out.glob("scans/*/sums/sg/*/zarr.json")))
    assert 1 <= finished < total
    capsys.readouterr()
    assert run(explain(folder, out, *options)) == 0
    assert f"computed {total - finished} attributions, kept {finished}" in capsys.readouterr().out
    assert arrays(out) == arrays(whole)


def test_new_regions_need_voxels(folder, tmp_path, capsys):
    import nibabel as nib

    out, regions = tmp_path / "store", tmp_path / "rois" / "s1"
    scan = ["--only", str(folder / "scans" / "s1" / "ct.nii.gz"), "--scan-id", "s1"]
    options = ["--method", "vanilla_gradient", "--no-voxels"]
    assert run(explain(folder, out, *scan, *options)) == 0
    mask = np.zeros((24, 20, 22), np.uint8)
    mask[4:14] = 1
    regions.mkdir(parents=True)
    nib.save(nib.Nifti1Image(mask, np.diag([-2.0, -2.0, 2.0, 1.0])), regions / "lesion.nii.gz")
    capsys.readouterr()
    assert run(["reduce", str(out), "--rois", str(tmp_path / "rois")]) == 1
    assert run(explain(folder, out, *scan, *options, "--rois", str(tmp_path / "rois"))) == 0
    matrices = xr.open_zarr(f"{out}/importance.zarr", group="vanilla_gradient")
    assert int(matrices["n_voxels"].sel(roi="lesion", scan="s1")) == mask.sum()
