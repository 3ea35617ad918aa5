"""Intake from a real PACS and results back to it: Orthanc with its DICOMweb plugin."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import requests
from dicomweb_client import DICOMwebClient
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ParametricMapStorage, SegmentationStorage, generate_uid

from agg2exp.flows.pacs_export import return_results
from agg2exp_cli.__main__ import run
from agg2exp_core.export.pacs import ReturnSettings
from agg2exp_core.intake.settings import IngestSettings
from agg2exp_core.volumes import find_scans, read_nifti, read_volume
from tests.dicom.making import stored_values, write_series
from tests.dicom.stored import LABEL, store_of_scans
from tests.flows.conftest import prefect_server  # noqa: F401
from tests.flows.test_ingest import entries
from tests.services.postgres import free_port

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
USER, PASSWORD = "intake", "a password of the test"

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(
        not (PLUGIN.exists() and shutil.which("Orthanc")),
        reason="Orthanc is not installed (tests/services/install)",
    ),
]


@pytest.fixture(scope="module")
def pacs(tmp_path_factory):
    """Address of an empty PACS that asks for a password."""
    folder, port = tmp_path_factory.mktemp("orthanc"), free_port()
    settings = {
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "HttpPort": port,
        "DicomServerEnabled": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {USER: PASSWORD},
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    process = subprocess.Popen(["Orthanc", str(folder / "orthanc.json")], stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/dicom-web"
    try:
        deadline = time.monotonic() + 120
        while not answers(url):
            assert time.monotonic() < deadline, "Orthanc did not start"
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/studies", auth=(USER, PASSWORD), timeout=5).ok
    except requests.ConnectionError:
        return False


@pytest.fixture
def client(pacs):
    session = requests.Session()
    session.auth = (USER, PASSWORD)
    return DICOMwebClient(pacs, session=session)


@pytest.fixture
def store(client):
    def store(folder: Path) -> None:
        client.store_instances([dcmread(path) for path in sorted(folder.iterdir())])

    return store


@pytest.fixture
def login(monkeypatch):
    monkeypatch.setenv("AGG2EXP_PACS_USER", USER)
    monkeypatch.setenv("AGG2EXP_PACS_PASSWORD", PASSWORD)


@pytest.fixture
def ingest(pacs, login, prefect_server, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("AGG2EXP_IDENTITY_KEY", "0123456789abcdef0123456789abcdef")

    def ingest(*options, into=tmp_path / "in"):
        return run(["ingest", pacs, "--into", str(into), "--settle", "0.1", *options])

    return ingest


def taken(into: Path) -> list[np.ndarray]:
    return [read_nifti(scan.path).values for scan in find_scans([into])[0]]


def test_series_of_a_period_round_trip(store, ingest, tmp_path, capsys):
    study = {"StudyInstanceUID": generate_uid(), "PatientID": "Doe", "StudyDate": "20260102"}
    for name, stored, tags in (
        ("ct", stored_values(18), {"BodyPartExamined": "CHEST"}),
        ("head", stored_values(19), {"BodyPartExamined": "HEAD"}),
        ("scout", stored_values(2), {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}),
        ("mr", stored_values(20), {"Modality": "MR"}),
        ("before", stored_values(21), {"StudyDate": "20251230", "StudyInstanceUID": generate_uid()}),
    ):
        store(write_series(tmp_path / name, stored, SeriesInstanceUID=generate_uid(), **{**study, **tags}))
    period = ("--days", "2", "--until", "2026-01-03")
    assert ingest(*period, "--body-part", "CHEST") == 0
    (values,) = taken(tmp_path / "in")
    np.testing.assert_array_equal(values, read_volume(tmp_path / "ct").values)
    assert ingest(*period) == 0
    assert sorted(entry["status"] for entry in entries(tmp_path / "in")) == [
        "accepted",
        "accepted",
        "not wanted",
    ]
    assert ingest(*period) == 0
    assert "nothing new" in capsys.readouterr().out
    assert ingest("--days", "5", "--until", "2026-01-03") == 0
    assert sorted(values.shape[2] for values in taken(tmp_path / "in")) == [18, 19, 21]


def test_a_wrong_password(ingest, monkeypatch, capsys):
    monkeypatch.setenv("AGG2EXP_PACS_PASSWORD", "wrong")
    assert ingest() == 2
    assert "error: SOURCE: no listing (HTTPError)" in capsys.readouterr().err


def named(source: Path, target: Path, **tags: str) -> Path:
    """Copy a series whose identifiers are empty, which no PACS takes, with some."""
    uids = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    target.mkdir()
    for path in source.iterdir():
        dataset = dcmread(path)
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID
        dataset.SOPInstanceUID = generate_uid()
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        for keyword, value in {**uids, "PatientID": "Real", **tags}.items():
            setattr(dataset, keyword, value)
        dataset.save_as(target / path.name)
    return target


def test_a_real_series_in_its_own_transfer_syntax(real_data, store, ingest, tmp_path):
    store(named(real_data / "ct_abdomen_dicom", tmp_path / "series", StudyDate="20260601"))
    assert ingest("--days", "1", "--until", "2026-06-01") == 0
    (values,) = taken(tmp_path / "in")
    np.testing.assert_array_equal(values, read_volume(real_data / "ct_abdomen_dicom").values)


def results_of(scans: Path, folder: Path) -> str:
    """Store results of scans that were taken in; return the store's address."""
    places = {scan.scan_id: scan.path for scan in find_scans([scans])[0]}
    return store_of_scans(folder / "store", places, spacing_mm=6.0).uri


def pixels(dataset) -> bytes:
    return dataset.PixelData if dataset.Modality == "SEG" else dataset.FloatPixelData


@pytest.mark.usefixtures("login")
def test_results_of_a_real_series_go_back(real_data, pacs, client, store, tmp_path):
    """STOW takes them, QIDO finds them in the patient's study, WADO returns them with equal pixels."""
    series = named(
        real_data / "ct_abdomen_dicom", tmp_path / "series", StudyDate="20260701", PatientID="Back"
    )
    store(series)
    results = store_of_scans(tmp_path / "store", {"back": series}, spacing_mm=6.0).uri
    words = ["export", results, "--dicom", str(series), "--out", str(tmp_path / "out"), "--class", "left"]
    for _ in range(2):  # the second time stores the same objects again, which are there once
        assert run([*words, "--store-to", pacs]) == 0
    found = client.search_for_instances(search_filters={"PatientID": "Back"})
    by_class = {}
    for answer in found:
        dataset = Dataset.from_json(answer)
        by_class.setdefault(dataset.SOPClassUID, []).append(dataset)
    assert {uid: len(made) for uid, made in by_class.items()} == {
        CTImageStorage: 20,
        SegmentationStorage: 1,
        ParametricMapStorage: 1,
    }
    for path in (tmp_path / "out").glob("*.dcm"):
        ours = dcmread(path)
        theirs = client.retrieve_instance(ours.StudyInstanceUID, ours.SeriesInstanceUID, ours.SOPInstanceUID)
        assert pixels(theirs) == pixels(ours)
        assert theirs.PatientID == "Back"
        assert theirs.ReferencedSeriesSequence == ours.ReferencedSeriesSequence


def test_a_night_sends_what_the_pacs_lacks(pacs, client, store, ingest, tmp_path):
    tags = {"StudyDate": "20260801", "FrameOfReferenceUID": generate_uid(), "PatientName": "Night^Jane"}
    for n_slices in (20, 21):
        uids = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
        patient = f"Night-{n_slices}"
        store(
            write_series(
                tmp_path / patient, stored_values(n_slices, 24, 22), PatientID=patient, **uids, **tags
            )
        )
    period = {"n_days": 1, "until": "2026-08-01"}
    assert ingest("--days", "1", "--until", "2026-08-01") == 0
    results = results_of(tmp_path / "in", tmp_path)
    intake = IngestSettings(source=pacs, into=str(tmp_path / "in"), **period)
    settings = ReturnSettings(store_to=pacs, intake=intake, classes=["left"])
    outcomes = return_results(results, LABEL, settings)
    assert [(outcome.status, outcome.n_computed) for outcome in outcomes] == [("done", 2)] * 2
    assert return_results(results, LABEL, settings) == []
    for n_slices in (20, 21):
        found = client.search_for_series(search_filters={"PatientID": f"Night-{n_slices}"})
        assert sorted(Dataset.from_json(answer).Modality for answer in found) == ["CT", "OT", "SEG"]
    assert ingest("--days", "1", "--until", "2026-08-01") == 0  # our own objects are not taken for scans
    assert len(find_scans([tmp_path / "in"])[0]) == 2
