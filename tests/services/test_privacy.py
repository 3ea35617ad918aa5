"""From a drop folder to a report on real servers: no patient and no secret is found again."""

import base64
import gzip
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.deployments import run_deployment
from pydicom.dataset import FileDataset

from agg2exp.flows.server.environment import environment
from agg2exp_core.store import open_store
from benchmarks.scale.service import serving, workers
from tests.dicom.making import stored_values, write_series
from tests.flows.cohort import write_model
from tests.flows.test_ingest import MARKER, MARKERS, plant
from tests.services.postgres import postgres, programs
from tests.services.test_radosgw_flows import stored

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(programs() is None, reason="PostgreSQL is not installed (tests/services/install)"),
]

IDENTITY_KEY = "5ecre7-identity-key-of-the-hospital-0123456789"
AUTHENTICATION = "operator:5ecre7-of-the-server"
TALKATIVE = {
    "PREFECT_LOGGING_LEVEL": "DEBUG",
    "PREFECT_LOGGING_ROOT_LEVEL": "DEBUG",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "agg2exp_core,pydicom,py.warnings",
    "PYTHONWARNINGS": "default",
    "COLUMNS": "200",
}


def fill(drop: Path) -> None:
    """Two good series, a torn one, a text and a damaged image; all tags and names hold markers."""
    write_series(drop / f"{MARKER}^Jane", stored_values(20, 24, 22), change=plant, names=f"{MARKER}-{{}}.dcm")
    write_series(drop / f"{MARKER}^Jill", stored_values(21, 24, 22), change=plant_another)
    write_series(drop / f"{MARKER}^Joe", change=plant)
    torn = drop / f"{MARKER}^Joe" / "3.dcm"
    torn.write_bytes(torn.read_bytes()[:9000])
    (drop / f"{MARKER}.txt").write_text(MARKER)
    (drop / f"{MARKER}.nii.gz").write_bytes(MARKER.encode())


def plant_another(z: int, dataset: FileDataset) -> None:
    """Plant the same markers into a series of its own."""
    plant(z, dataset)
    dataset.SeriesInstanceUID = f"{MARKERS['UI']}.7"


def run(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "agg2exp_cli", *words],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def until_ended(flow: str) -> str:
    """Wait for the run of a flow that another has sent; return how it ended."""
    deadline = time.monotonic() + 600
    with get_client(sync_client=True) as client:
        while time.monotonic() < deadline:
            batches = [made for made in client.read_flow_runs() if made.name.startswith(flow)]
            if batches and batches[0].state.is_final():
                return batches[0].state.message
            time.sleep(1)
    pytest.fail(f"no run of {flow} ended")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def held(things: Mapping[str, bytes], needle: str) -> list[str]:
    """The things whose names or bytes, unpacked too, hold a text."""
    wanted, found = needle.lower().encode(), []
    for name, content in things.items():
        unpacked = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else b""
        if wanted in (name.encode() + content + unpacked).lower():
            found.append(name)
    return found


def test_no_patient_and_no_secret_is_found_anywhere(tmp_path, uri, gateway):
    for name in ("drop", "logs", "out"):
        (tmp_path / name).mkdir()
    fill(tmp_path / "drop")
    logs, secrets = (
        tmp_path / "logs",
        {
            "AGG2EXP_IDENTITY_KEY": IDENTITY_KEY,
            "PREFECT_API_AUTH_STRING": AUTHENTICATION,
        },
    )
    settings = {
        "PREFECT_SERVER_API_AUTH_STRING": AUTHENTICATION,
        "PREFECT_SERVER_LOGGING_LEVEL": "INFO",
    }
    with (
        postgres() as database,
        serving(tmp_path / "server", database.url, settings),
        environment(TALKATIVE | secrets),
    ):
        model = str(write_model(tmp_path / "model"))
        words = [str(tmp_path / "in"), "--model", model, "--out", uri, "--method", "vanilla_gradient"]
        said = run("deploy", *words, "--device", "cpu", "--ingest-from", str(tmp_path / "drop"))
        with (
            workers("cpu", "cpu", logs / "cpu.log"),
            workers("cpu", "gpu", logs / "gpu.log"),
        ):
            taken = run_deployment("ingest/ingest", timeout=600, poll_interval=1, as_subflow=False)
            assert taken.state.is_completed(), taken.state
            assert until_ended("explain batch") == "2 of 2 scans explained"
        scans = open_store(uri).scans()
        for scan in scans:
            out = str(tmp_path / "out" / f"{scan}.nii.gz")
            said += run("export", uri, "--scan-id", scan, "--class", "left", "--out", out)
        said += run("export", uri, "--out", str(tmp_path / "out" / "matrices.csv"))
        said += run("report", uri, "--out", str(tmp_path / "report"))
        said += run("doctor", uri)
        address = ["-h", "127.0.0.1", "-p", str(database.port), "-U", "prefect"]
        dump = database.run("pg_dump", *address, "--inserts", "prefect").stdout
        told = (database.folder / "log").read_bytes()
    places = {
        "database": {"dump": dump.encode(), "its log": told},
        "processes": {**contents(logs), "commands": said.encode()},
        "server": contents(tmp_path / "server"),
        "store": stored(uri),
        "files": contents(tmp_path / "out"),
        "report": contents(tmp_path / "report"),
        "scans": contents(tmp_path / "in"),
    }
    assert len(scans) == 2
    for scan in scans:
        assert all(
            held(places[place], scan)
            for place in ("database", "processes", "store", "files", "report", "scans")
        )
    assert b"DEBUG" in places["processes"]["cpu.log"]
    assert any(key.startswith("report/") for key in places["store"])
    kept = {place: {} for place in places}
    login = base64.b64encode(AUTHENTICATION.encode()).decode()
    hidden = (IDENTITY_KEY, AUTHENTICATION, login, gateway.secret_key)
    for needle in (*MARKERS.values(), "1937-02-13", *hidden):
        for place, things in places.items():
            if where := held(things, needle):
                kept[place][needle] = where
    assert kept == {place: {} for place in places}
