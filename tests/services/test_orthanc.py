"""Intake from a real PACS: Orthanc with its DICOMweb plugin."""

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import requests
from dicomweb_client import DICOMwebClient
from pydicom import dcmread
from pydicom.uid import generate_uid

from agg2exp_core.volumes import find_scans, read_nifti, read_volume
from flows.__main__ import run
from tests.dicom.making import stored_values, write_series
from tests.flows.conftest import prefect_server  # noqa: F401
from tests.flows.test_ingest import entries

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
USER, PASSWORD = "intake", "a password of the test"

pytestmark = [
    pytest.mark.service,
    pytest.mark.usefixtures("prefect_server"),
    pytest.mark.skipif(
        not (PLUGIN.exists() and shutil.which("Orthanc")),
        reason="Orthanc is not installed (tests/services/install)",
    ),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
        deadline = time.monotonic() + 30
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
def store(pacs):
    def store(folder: Path) -> None:
        session = requests.Session()
        session.auth = (USER, PASSWORD)
        DICOMwebClient(pacs, session=session).store_instances(
            [dcmread(path) for path in sorted(folder.iterdir())]
        )

    return store


@pytest.fixture
def ingest(pacs, tmp_path, monkeypatch):
    monkeypatch.setenv("AGG2EXP_IDENTITY_KEY", "0123456789abcdef0123456789abcdef")
    monkeypatch.setenv("AGG2EXP_PACS_USER", USER)
    monkeypatch.setenv("AGG2EXP_PACS_PASSWORD", PASSWORD)

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


def test_a_real_series_in_its_own_transfer_syntax(real_data, store, ingest, tmp_path):
    """Its identifiers are empty, which no PACS takes: it is given some."""
    uids = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    (tmp_path / "series").mkdir()
    for path in (real_data / "ct_abdomen_dicom").iterdir():
        dataset = dcmread(path)
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uids.values()
        dataset.PatientID, dataset.StudyDate = "Real", "20260601"
        dataset.save_as(tmp_path / "series" / path.name)
    store(tmp_path / "series")
    assert ingest("--days", "1", "--until", "2026-06-01") == 0
    (values,) = taken(tmp_path / "in")
    np.testing.assert_array_equal(values, read_volume(real_data / "ct_abdomen_dicom").values)
