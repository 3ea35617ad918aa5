"""The intake as a deployment: from a drop folder to matrices, on real workers."""

import time

import pytest
from prefect.blocks.system import Secret
from prefect.client.orchestration import get_client
from prefect.deployments import run_deployment

from agg2exp_cli.__main__ import run
from agg2exp_core import open_store
from agg2exp_core.volumes import find_scans
from tests.deployments.test_batch_on_workers import workers
from tests.dicom.making import stored_values, write_series
from tests.flows.cohort import write_model, write_scan
from tests.flows.conftest import prefect_server  # noqa: F401

pytestmark = [pytest.mark.service, pytest.mark.usefixtures("prefect_server")]


def deploy(folder, *options):
    model = str(write_model(folder / "model"))
    words = ["deploy", str(folder / "in"), "--model", model, "--out", str(folder / "store")]
    return run([*words, "--method", "vanilla_gradient", "--device", "cpu", *options])


def test_a_schedule(tmp_path, capsys):
    (tmp_path / "drop").mkdir()
    source = ["--ingest-from", str(tmp_path / "drop"), "--timezone", "Europe/Warsaw"]
    assert deploy(tmp_path, *source, "--ingest-cron", "*/15 * * * *", "--cron", "0 2 * * *") == 0
    assert "deployment ingest/ingest" in capsys.readouterr().out
    with get_client(sync_client=True) as client:
        made = client.read_deployment_by_name("ingest/ingest")
    assert [(s.schedule.cron, s.schedule.timezone) for s in made.schedules] == [
        ("*/15 * * * *", "Europe/Warsaw")
    ]
    assert made.parameters["settings"]["explain_with"] is None
    assert deploy(tmp_path, *source, "--ingest-cron", "every night") == 2
    assert deploy(tmp_path, *source, "--keep", "name") == 2


def test_retention_and_results_back(tmp_path, monkeypatch, capsys):
    (tmp_path / "drop").mkdir()
    pacs = ["--store-to", "http://pacs:8042/dicom-web", "--return-class", "left"]
    pacs += ["--return-folder", str(tmp_path / "returned")]
    assert deploy(tmp_path, "--keep-days", "90", *pacs) == 2
    assert "--store-to: it without --ingest-from" in capsys.readouterr().err
    assert deploy(tmp_path, "--return-folder", str(tmp_path / "returned")) == 2
    assert "--return-folder: it without --store-to" in capsys.readouterr().err
    monkeypatch.setenv("AGG2EXP_KEEP_DAYS", "90")  # as a compose file hands it over
    monkeypatch.setenv("AGG2EXP_RETENTION_CRON", "")
    source = ["--ingest-from", str(tmp_path / "drop"), "--timezone", "Europe/Warsaw"]
    assert deploy(tmp_path, *source, *pacs) == 0
    assert "deployment retention/retention" in capsys.readouterr().out
    with get_client(sync_client=True) as client:
        retention = client.read_deployment_by_name("retention/retention")
        nightly = client.read_deployment_by_name("explain-batch/nightly")
    assert retention.parameters["settings"] == {
        "store": str(tmp_path / "store"),
        "keep_days": 90.0,
        "labels": None,
        "dry_run": False,
    }
    assert [(s.schedule.cron, s.schedule.timezone) for s in retention.schedules] == [
        ("0 4 * * 0", "Europe/Warsaw")
    ]
    sent = nightly.parameters["results"]
    assert sent["folder"] == str(tmp_path / "returned")
    assert (sent["store_to"], sent["classes"]) == ("http://pacs:8042/dicom-web", ["left"])
    assert sent["intake"]["source"] == str(tmp_path / "drop")


@pytest.mark.timeout(400)
def test_what_is_dropped_is_explained(tmp_path):
    write_series(tmp_path / "drop" / "a", stored_values(20, 24, 22))
    write_scan(tmp_path / "drop" / "b.nii.gz")
    (tmp_path / "drop" / "bad.nii.gz").write_bytes(b"no scan")
    Secret(value="0123456789abcdef0123456789abcdef").save("agg2exp-identity-key", overwrite=True)
    assert deploy(tmp_path, "--ingest-from", str(tmp_path / "drop")) == 0
    with workers("cpu", "cpu"), workers("cpu", "gpu"), get_client(sync_client=True) as client:
        taken = run_deployment("ingest/ingest", timeout=150, poll_interval=1, as_subflow=False)
        assert taken.state.is_completed()
        batch = client.read_deployment_by_name("explain-batch/nightly")
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline:
            (sent,) = [made for made in client.read_flow_runs() if made.deployment_id == batch.id]
            if sent.state.is_final():
                break
            time.sleep(1)
        assert sent.state.is_completed()
    scans = {scan.scan_id for scan in find_scans([tmp_path / "in"])[0]}
    assert len(scans) == 2
    assert set(open_store(tmp_path / "store").scans()) == scans
