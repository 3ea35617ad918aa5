"""The whole flow on a real S3 server: the bytes of a local store, kills and outages."""

import json
import subprocess
import sys
import time
from pathlib import Path

import boto3
import pytest

from agg2exp_core.errors import StoreError
from agg2exp_core.phantom import write_cohort
from agg2exp_core.store import open_store
from tests.flows.cohort import write_model, write_scan
from tests.flows.conftest import prefect_server  # noqa: F401

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

LABEL = "results"
PATIENCE_S = 600.0


def explain(out: str | Path, scans: Path, model: str, *options: str) -> list[str]:
    words = [sys.executable, "-m", "agg2exp_cli", "explain", str(scans), "--model", model, "--out", str(out)]
    return [*words, "--label", LABEL, "--device", "cpu", *options]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def stored(uri: str) -> dict[str, bytes]:
    """All that a store holds, by key."""
    if uri.startswith("s3://"):
        name, _, prefix = uri.removeprefix("s3://").partition("/")
        bucket = boto3.Session().resource("s3").Bucket(name)
        return {
            item.key.removeprefix(f"{prefix}/"): item.get()["Body"].read() for item in bucket.objects.all()
        }
    files = (path for path in Path(uri).rglob("*") if path.is_file())
    return {str(path.relative_to(uri)): path.read_bytes() for path in files}


def assert_same(uri: str, local: Path) -> None:
    """All bytes, but for the report and for when a unit was finished: they tell times."""
    there, here = timeless(uri), timeless(str(local))
    assert sum("/c/" in key for key in here) > 10
    assert set(there) == set(here)
    assert [key for key in here if there[key] != here[key]] == []


def timeless(uri: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, content in stored(uri).items():
        if key.endswith("zarr.json"):
            found[key] = document = json.loads(content)
            document["attributes"].get("agg2exp", {}).pop("finished", None)
        elif not key.startswith("report/"):
            found[key] = content
    return found


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """A scan and a model whose classes are finished one after the other, in about a second each."""
    folder = tmp_path_factory.mktemp("slow")
    write_scan(folder / "scans" / "s0.nii.gz", shape=(40, 40, 40))
    options = ["--method", "smoothgrad", "--set", "n_samples=20", "--classes-per-task", "1"]
    return folder / "scans", str(write_model(folder / "model")), *options


@pytest.fixture(scope="module")
def undisturbed(slow, prefect_server, tmp_path_factory):  # noqa: F811
    """A local store of the same, written in peace."""
    near = tmp_path_factory.mktemp("near") / "store"
    done = run(explain(near, *slow))
    assert done.returncode == 0, done.stderr
    return near


def finished(uri: str) -> list[str]:
    try:
        return list(open_store(uri).scan("s0").units(LABEL))
    except StoreError:  # no store yet
        return []


def begin(command: list[str], uri: str) -> subprocess.Popen[str]:
    """Start a command, and return once a first unit is finished."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not finished(uri):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    return process


@pytest.mark.usefixtures("prefect_server")
def test_the_whole_flow_writes_the_bytes_of_a_local_store(uri, tmp_path):
    write_cohort(tmp_path / "scans", 2, seed=3, spacing_mm=8.0)
    for out in (uri, tmp_path / "near"):
        command = explain(out, tmp_path / "scans", "thorax_phantom", "--method", "vanilla_gradient")
        done = run(command)
        assert done.returncode == 0, done.stderr
    assert_same(uri, tmp_path / "near")
    assert open_store(uri).read_file("report/index.html").lower().startswith(b"<!doctype html>")


def test_what_was_finished_before_a_kill_is_kept(uri, slow, undisturbed):
    process = begin(explain(uri, *slow), uri)
    process.kill()
    process.communicate()
    n_there = len(finished(uri))
    assert 0 < n_there < 4
    done = run(explain(uri, *slow))
    assert f"kept {n_there}" in done.stdout, done.stdout
    assert_same(uri, undisturbed)


def test_a_server_that_is_away_for_seconds_is_waited_for(uri, gateway, slow, undisturbed):
    process = begin(explain(uri, *slow), uri)
    gateway.kill_gateway()
    time.sleep(4)
    gateway.start_gateway()
    output, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, output + errors
    assert_same(uri, undisturbed)


def test_a_server_that_stays_away_ends_the_run_with_a_sentence(uri, gateway, slow, undisturbed):
    process = begin(explain(uri, *slow), uri)
    gateway.kill_gateway()
    try:
        output, errors = process.communicate(timeout=PATIENCE_S)
    finally:
        gateway.start_gateway()
    assert process.returncode in (1, 2, 3)
    assert "AWS_ENDPOINT_URL" in output + errors
    assert "Traceback" not in output + errors
    done = run(explain(uri, *slow))
    assert done.returncode == 0, done.stderr
    assert_same(uri, undisturbed)
