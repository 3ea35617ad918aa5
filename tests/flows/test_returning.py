"""Results go back to the series that they are of, found again by the keyed hash."""

import os
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from prefect.client.orchestration import get_client

from agg2exp.flows.pacs_export import NOT_FOUND, return_results
from agg2exp_cli.__main__ import run
from agg2exp_core.dicom import IdentityKey, Rules, web
from agg2exp_core.dicom.fileio import files_below
from agg2exp_core.errors import UsageError
from agg2exp_core.export.pacs import ReturnSettings
from agg2exp_core.intake.importer import Importer
from agg2exp_core.intake.settings import IngestSettings
from agg2exp_core.store import open_store
from tests.dicom.making import stored_values, write_series
from tests.dicom.stored import LABEL, store_of_scans

pytestmark = pytest.mark.usefixtures("prefect_server")

PACS = "http://pacs/dicom-web"
SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("AGG2EXP_IDENTITY_KEY", SECRET)


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    """Two patients of a drop folder, taken in, and results of them."""
    folder = tmp_path_factory.mktemp("explained")
    for n_slices, name in ((20, "Zzmarker-1"), (21, "Zzmarker-2")):
        tags = {"PatientID": name, "SeriesInstanceUID": f"1.2.{n_slices}", "FrameOfReferenceUID": "1.2.9"}
        write_series(folder / "drop" / name, stored_values(n_slices, 24, 22), **tags)
    importer = Importer(folder / "in", IdentityKey(SECRET), Rules())
    entries = importer.import_files(files_below(folder / "drop"))
    scans = {entry.scan_id: folder / "in" / entry.scan_id / "ct.nii.gz" for entry in entries}
    store_of_scans(folder / "store", scans)
    return folder


@pytest.fixture
def taken(explained, tmp_path):
    return shutil.copytree(explained, tmp_path / "taken")


def settings_of(root: Path, **changes) -> ReturnSettings:
    intake = IngestSettings(source=str(root / "drop"), into=str(root / "in"))
    return ReturnSettings(**{"store_to": PACS, "intake": intake, "classes": ["left"], **changes})


def test_each_scan_goes_back_to_its_own_patient_once(taken, monkeypatch, capfd):
    stored = []
    monkeypatch.setattr(web, "store_objects", lambda url, objects: stored.append((url, objects)))
    store, settings = str(taken / "store"), settings_of(taken)
    outcomes = return_results(store, LABEL, settings)
    assert {outcome.status for outcome in outcomes} == {"done"}
    assert {outcome.scan_id for outcome in outcomes} == set(open_store(store).scans())
    by_patient = {objects[0].PatientID: objects for _, objects in stored}
    assert by_patient.keys() == {"Zzmarker-1", "Zzmarker-2"}
    for name, n_slices in (("Zzmarker-1", 20), ("Zzmarker-2", 21)):
        assert [made.Modality for made in by_patient[name]] == ["SEG", "OT"]
        (series,) = by_patient[name][0].ReferencedSeriesSequence
        assert series.SeriesInstanceUID == f"1.2.{n_slices}"
        assert len(series.ReferencedInstanceSequence) == n_slices
    assert return_results(store, LABEL, settings) == []
    assert len(return_results(store, LABEL, settings_of(taken, classes=[]))) == 2
    said = capfd.readouterr()
    assert "Zzmarker" not in said.out + said.err
    kept = [path for path in (taken / "store").rglob("*") if path.is_file()]
    assert not [path for path in kept if b"Zzmarker" in path.read_bytes()]
    state = Path(os.environ["PREFECT_HOME"]).parent
    assert not [path for path in state.rglob("*.db*") if b"Zzmarker-" in path.read_bytes()]


def test_files_lie_beside_what_the_pacs_got(taken, monkeypatch):
    monkeypatch.setattr(web, "store_objects", lambda url, objects: None)
    out = taken / "returned"
    return_results(str(taken / "store"), LABEL, settings_of(taken, folder=str(out)))
    scans = open_store(taken / "store").scans()
    names = ("segmentation", f"{LABEL}_left")
    assert {path.name for path in out.iterdir()} == {f"{s}_{name}.nii.gz" for s in scans for name in names}
    for scan_id in scans:
        source = nib.load(taken / "in" / scan_id / "ct.nii.gz")
        labels, attribution = (nib.load(out / f"{scan_id}_{name}.nii.gz") for name in names)
        for image in (labels, attribution):
            assert image.shape == source.shape
            np.testing.assert_allclose(image.affine, source.affine, atol=1e-4)
        there = open_store(taken / "store").scan(scan_id)
        assert set(np.unique(labels.dataobj)) == set(np.unique(there.prediction().labels))
        by_hand = taken / "by_hand.nii.gz"
        chosen = ["--scan-id", scan_id, "--label", LABEL, "--class", "left"]
        assert run(["export", str(taken / "store"), *chosen, "--out", str(by_hand)]) == 0
        np.testing.assert_array_equal(attribution.dataobj, nib.load(by_hand).dataobj)


@pytest.mark.parametrize("place", ["drop/within", "in", "s3://bucket/files", __file__])
def test_a_folder_of_scans_or_no_folder_gets_no_files(explained, place):
    folder = place if "://" in place else str(explained / place)
    with pytest.raises(UsageError, match=r"--return-folder: .*a folder elsewhere"):
        settings_of(explained, folder=folder)


def test_what_fails_is_named_and_tried_again(taken, monkeypatch):
    def refuse(url, objects):
        raise ValueError(f"nothing of {objects[0].PatientID}")

    store, settings = str(taken / "store"), settings_of(taken)
    monkeypatch.setattr(web, "store_objects", refuse)
    outcomes = return_results(store, LABEL, settings)
    assert [outcome.status for outcome in outcomes] == ["failed", "failed"]
    assert all("ValueError at test_returning.py" in outcome.reason for outcome in outcomes)
    assert "Zzmarker" not in str(outcomes)
    monkeypatch.setattr(web, "store_objects", lambda url, objects: None)
    (taken / "drop" / "Zzmarker-1").rename(taken / "gone")
    outcomes = return_results(store, LABEL, settings)
    assert sorted((o.status, o.reason) for o in outcomes) == [("done", ""), ("not found", NOT_FOUND)]
    with get_client(sync_client=True) as client:
        found = [a for a in client.read_artifacts() if (a.key or "").startswith("returned-")]
    assert any(NOT_FOUND in str(artifact.data) for artifact in found)


def test_dropped_voxels_are_no_part_of_it(taken, monkeypatch):
    stored = []
    monkeypatch.setattr(web, "store_objects", lambda url, objects: stored.append(objects))
    store = open_store(taken / "store")
    for scan_id in store.scans():
        store.scan(scan_id).drop_voxels(LABEL, "left")
    return_results(str(taken / "store"), LABEL, settings_of(taken))
    assert [len(objects) for objects in stored] == [1, 1]


def test_an_address_that_is_none_is_refused(tmp_path):
    with pytest.raises(UsageError, match="--store-to: 'pacs'"):
        settings_of(tmp_path, store_to="pacs")
    assert settings_of(tmp_path).model_dump()["intake"]["settle_s"] == 30.0
