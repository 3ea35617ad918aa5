"""Voxels go, matrices stay, and nothing is computed again unless it is asked for."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import xarray as xr
from prefect.client.orchestration import get_client

from agg2exp_cli.__main__ import run
from agg2exp_core.store import open_store
from agg2exp_core.store.locks import writing
from agg2exp_core.store.scan import ScanStore
from tests.flows.cohort import arrays, write_model, write_scan

pytestmark = pytest.mark.usefixtures("prefect_server")

LABEL = "vanilla_gradient"
OLD, NEW = "s1", "s2"


def explain(folder, out, *options):
    words = ["explain", str(folder / "scans"), "--model", str(folder / "model"), "--out", str(out)]
    return run([*words, "--method", LABEL, *options])


def make_old(store, scan_id, days=40.0):
    """Date all attributions of a scan back."""
    for name in store.scan(scan_id).units(LABEL):
        key = f"scans/{scan_id}.zarr/attributions/{LABEL}/{name}/zarr.json"
        document = store.root.get_json(key)
        finished = datetime.now(UTC) - timedelta(days=days)
        document["attributes"]["agg2exp"]["finished"] = finished.isoformat(timespec="seconds")
        store.root.put(key, json.dumps(document).encode())


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explained")
    write_model(folder / "model")
    for seed, name in enumerate((OLD, NEW)):
        write_scan(folder / "scans" / f"{name}.nii.gz", seed=seed)
    assert explain(folder, folder / "store") == 0
    make_old(open_store(folder / "store"), OLD)
    return folder


@pytest.fixture
def place(explained, tmp_path):
    shutil.copytree(explained / "store", tmp_path / "store")
    return tmp_path / "store"


def matrices(place) -> xr.Dataset:
    return xr.open_zarr(f"{place}/importance.zarr", group=LABEL).load()


def n_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def retain(place, *options):
    return run(["retention", str(place), "--keep-days", "30", *options])


def test_voxels_of_old_attributions_go_and_all_else_stays(explained, place, tmp_path, capsys):
    store = open_store(place)
    units, before, rows = store.scan(OLD).units(LABEL), arrays(place), matrices(place)
    assert retain(place, "--dry-run") == 0
    said = f"would drop the voxels of {len(units)} attributions of 2 scans"
    assert said in capsys.readouterr().out
    assert arrays(place) == before
    attributions = place / f"scans/{OLD}.zarr/attributions/{LABEL}"
    freed = n_bytes(attributions) - (attributions / "zarr.json").stat().st_size
    assert retain(place) == 0
    assert f"dropped the voxels of {len(units)} attributions of 2 scans, {freed / 1e6:.1f} MB" in (
        capsys.readouterr().out
    )
    assert not [path for path in attributions.rglob("*") if path.is_file() and path.name != "zarr.json"]
    kept = {name: chunk for name, chunk in before.items() if f"{OLD}.zarr/attributions" not in name}
    assert kept.items() <= arrays(place).items()
    assert len(kept) < len(before)
    for name, sums in store.scan(OLD).sums(LABEL).items():
        told = sums.info["dropped"]
        assert (sums.identity, told["checksum"]) == (units[name].identity, units[name].checksum)
        assert told["finished"] == units[name].finished < told["at"]
    assert store.root.children("at_work") in ([], [OLD], [NEW], [OLD, NEW])
    assert not list((place / "at_work").rglob("*.json"))

    after = arrays(place)
    assert retain(place) == 0
    assert "dropped the voxels of 0 attributions" in capsys.readouterr().out
    assert run(["reduce", str(place)]) == 0
    out = capsys.readouterr().out.replace("\n", " ")
    assert "without voxels" in out
    xr.testing.assert_identical(matrices(place), rows)
    assert explain(explained, place) == 0
    assert "computed 0 attributions" in capsys.readouterr().out
    assert arrays(place) == after

    words = ["export", str(place), "--scan-id", OLD, "--class", "left", "--out", str(tmp_path / "x.nii.gz")]
    assert run(words) == 2
    assert "whose voxels were dropped at 20" in capsys.readouterr().err
    assert explain(explained, place, "--restore-voxels", "--no-voxels") == 2
    assert explain(explained, place, "--restore-voxels") == 0
    assert f"computed {len(units)} attributions" in capsys.readouterr().out
    again = {name: chunk for name, chunk in arrays(place).items() if "/sums/" not in name}
    assert again == before
    xr.testing.assert_identical(matrices(place), rows)


def test_the_table_is_in_the_ui(place):
    assert retain(place, "--dry-run") == 0
    with get_client(sync_client=True) as client:
        found = [a for a in client.read_artifacts() if (a.key or "").startswith("retention-")]
    assert any(OLD in str(artifact.data) and "would drop" in artifact.description for artifact in found)


@pytest.mark.parametrize("after_removal", [False, True], ids=["before the voxels", "among the voxels"])
def test_a_killed_retention_goes_on(place, tmp_path, monkeypatch, after_removal, capsys):
    whole = shutil.copytree(place, tmp_path / "whole")
    assert retain(whole) == 0
    n_calls = []
    drop = ScanStore.drop_voxels

    def killed(there, label, name):
        n_calls.append(name)
        if len(n_calls) == 2:
            if after_removal:  # the metadata are gone, and chunks are not
                there.root.delete(f"scans/{OLD}.zarr/attributions/{label}/{name}/zarr.json")
            raise ValueError("killed")
        drop(there, label, name)

    monkeypatch.setattr(ScanStore, "drop_voxels", killed)
    assert retain(place) == 3
    assert "ValueError: killed" in capsys.readouterr().out.replace("\n", " ")
    monkeypatch.setattr(ScanStore, "drop_voxels", drop)
    assert retain(place) == 0
    assert arrays(place) == arrays(whole)


def test_a_scan_at_work_is_left_alone(place, capsys):
    before = arrays(place)
    with writing(open_store(place).root, OLD):
        assert retain(place) == 0
    assert "1 scans at work were left alone" in capsys.readouterr().out
    assert arrays(place) == before


def test_new_regions_need_the_voxels_again(explained, place, tmp_path, capsys):
    assert retain(place) == 0
    for name in (OLD, NEW):
        scan = nib.load(explained / "scans" / f"{name}.nii.gz")
        mask = (np.asanyarray(scan.dataobj) > 0).astype(np.uint8)
        (tmp_path / "rois" / name).mkdir(parents=True)
        nib.save(nib.Nifti1Image(mask, scan.affine), tmp_path / "rois" / name / "bright.nii.gz")
    assert run(["reduce", str(place), "--rois", str(tmp_path / "rois")]) == 3
    assert "with --restore-voxels where" in " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert explain(explained, place, "--rois", str(tmp_path / "rois")) == 0
    shares = matrices(place)["mass"].sel(roi="bright", target="left")
    assert np.isfinite(shares.values).all()


@pytest.mark.slow
def test_on_s3(explained, s3_uri, capsys):
    assert explain(explained, s3_uri) == 0
    store = open_store(s3_uri)
    make_old(store, OLD)
    n_units, rows = len(store.scan(OLD).units(LABEL)), store.importance(LABEL)
    assert retain(s3_uri) == 0
    assert f"dropped the voxels of {n_units} attributions of 2 scans" in capsys.readouterr().out
    assert store.scan(OLD).units(LABEL) == {}
    assert store.root.n_bytes(f"scans/{OLD}.zarr/attributions/{LABEL}") < 200
    assert len(store.scan(NEW).units(LABEL)) > 1
    assert run(["reduce", s3_uri]) == 0
    xr.testing.assert_identical(store.importance(LABEL), rows)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--keep-days", "-1"], "--keep-days: -1"),
        (["--keep-days", "nan"], "--keep-days: nan"),
        (["--keep-days", "1", "--label", "sg"], "--label: 'sg', which"),
    ],
)
def test_what_has_no_meaning(place, options, said, capsys):
    assert run(["retention", str(place), *options]) == 2
    assert capsys.readouterr().err.startswith(f"error: {said}")


def test_no_store(tmp_path, capsys):
    assert run(["retention", str(tmp_path / "none"), "--keep-days", "1"]) == 2
    assert "no store" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
