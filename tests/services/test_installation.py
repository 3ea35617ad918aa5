"""The installation of the compose file at work: servers, logins, the proxy, a scheduled run."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest
import requests

from tests.flows.cohort import write_model, write_scan
from tests.services.installation import LOGIN, Installation, installation, missing, proxy_file

EVERY_MINUTE, RARELY = "* * * * *", "0 0 29 2 *"

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(missing()), reason=f"not there: {missing()} (tests/services/install)"),
]


@pytest.fixture(scope="module")
def installed(s3_endpoint: str) -> Iterator[Installation]:
    values = {
        "S3_ENDPOINT": s3_endpoint,
        "MODEL": "small",
        "METHOD": "vanilla_gradient",
        "CRON": EVERY_MINUTE,
        "INGEST_CRON": RARELY,
    }
    with installation(values) as made:
        write_model(made.folder / "models" / "small")
        write_scan(made.folder / "scans" / "s0" / "ct.nii.gz")
        bucket = made.run("bucket")
        assert bucket.returncode == 0, bucket.stderr
        yield made


@pytest.fixture(scope="module")
def deployed(installed: Installation) -> Installation:
    done = installed.run("deploy")
    assert done.returncode == 0, done.stderr
    assert "deployment explain-batch/nightly" in done.stdout
    return installed


def login(installed: Installation) -> tuple[str, str]:
    user, _, password = installed.values["PREFECT_LOGIN"].partition(":")
    return user, password


def rows(installed: Installation, api: str, kind: str, **body: object) -> list[dict]:
    address = f"{installed.api(api)}/{kind}/filter"
    reply = requests.post(address, json=body, auth=login(installed), timeout=30)
    reply.raise_for_status()
    return sorted(reply.json(), key=lambda row: row["id"])


def waited(for_what, timeout_s: float = 400):
    deadline = time.monotonic() + timeout_s
    while not (found := for_what()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(1)
    return found


@pytest.mark.service
def test_the_servers_ask_for_their_passwords(installed):
    port = str(installed.database.port)
    asked = [
        str(installed.database.bin / "psql"),
        "-h",
        "127.0.0.1",
        "-p",
        port,
        "-U",
        "prefect",
        "-c",
        "select 1",
    ]
    for password, code in (("wrong", 2), (installed.values["POSTGRES_PASSWORD"], 0)):
        done = subprocess.run(
            asked, env={**os.environ, "PGPASSWORD": password}, capture_output=True, check=False
        )
        assert done.returncode == code
    ping = ["redis-cli", "-p", str(installed.ports["redis"]), "ping"]
    for password, answer in (("wrong", "NOAUTH"), (installed.values["REDIS_PASSWORD"], "PONG")):
        told = subprocess.run(
            ping, env={**os.environ, "REDISCLI_AUTH": password}, capture_output=True, text=True, check=False
        )
        assert answer in told.stdout
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "redis-server" in running
    assert installed.values["REDIS_PASSWORD"] not in running


@pytest.mark.parametrize("api", ["api1", "api2"])
@pytest.mark.service
def test_an_api_server_is_closed_without_the_login(installed, api):
    address = f"{installed.api(api)}/work_pools/filter"
    for auth in (None, ("prefect", "wrong")):
        assert requests.post(address, json={}, auth=auth, timeout=30).status_code == 401
    assert requests.post(address, json={}, auth=login(installed), timeout=30).status_code == 200
    assert requests.get(f"{installed.api(api)}/ready", timeout=30).status_code == 200


def lasting(node):
    """Leave out time stamps, what is empty, and the ids of what Prefect makes anew: schedules, triggers."""
    if isinstance(node, list):
        return [lasting(child) for child in node]
    if isinstance(node, dict):
        changing = {"id", "created", "updated", "status", "last_polled"}
        kept = {key: child for key, child in node.items() if key not in changing and child not in (None, [])}
        return {key: lasting(child) for key, child in kept.items()}
    return node


@pytest.mark.service
def test_deploying_twice_changes_nothing(deployed):
    def there() -> dict[str, object]:
        found: dict[str, object] = {}
        for kind in ("work_pools", "deployments", "work_pools/cpu/queues", "work_pools/gpu/queues"):
            found[kind] = {row["id"]: lasting(row) for row in rows(deployed, "api1", kind)}
        automations = rows(deployed, "api1", "automations")
        found["automations"] = {row["name"]: lasting(row) for row in automations}
        assert len(found["automations"]) == len(automations)
        return found

    before = there()
    assert len(before["deployments"]) >= 6
    assert len(before["work_pools/gpu/queues"]) >= 2
    again = deployed.run("deploy")
    assert again.returncode == 0, again.stderr
    assert there() == before


@pytest.mark.parametrize("name", ["deploy", "worker-cpu"])
@pytest.mark.service
def test_wrong_credentials_end_in_one_line(installed, name):
    done = installed.run(name, PREFECT_API_AUTH_STRING="prefect:wrong")
    assert done.returncode == 2
    told = done.stderr.strip()
    assert told.startswith("error: PREFECT_API_AUTH_STRING: a login that http://")
    assert len(told.splitlines()) == 1
    assert "wrong" not in told


@pytest.mark.service
def test_the_proxy_asks_people_for_a_login_over_tls(installed):
    address = f"{installed.public}/api/version"
    authority = str(installed.authority)
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(address, timeout=30)
    assert requests.get(address, verify=authority, timeout=30).status_code == 401
    assert requests.get(address, verify=authority, auth=(LOGIN[0], "wrong"), timeout=30).status_code == 401
    for auth in (LOGIN, login(installed)):  # a person's, and that of a worker on another machine
        reply = requests.get(address, verify=authority, auth=auth, timeout=30)
        assert reply.status_code == 200
        assert reply.headers["Strict-Transport-Security"]
    page = requests.get(installed.public, verify=authority, auth=LOGIN, timeout=30)
    assert "<html" in page.text.lower()


@pytest.mark.service
def test_the_proxy_s_file_is_valid(installed):
    words = ["caddy", "validate", "--config", str(proxy_file(installed)), "--adapter", "caddyfile"]
    done = subprocess.run(
        words, env=installed.environment("proxy"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.service
def test_a_scheduled_run_completes_and_a_lost_server_is_not_missed(deployed):
    (nightly,) = (row for row in rows(deployed, "api1", "deployments") if row["name"] == "nightly")
    mine = {"deployments": {"id": {"any_": [nightly["id"]]}}}

    def of_state(api: str, *types: str) -> list[dict]:
        return [run for run in rows(deployed, api, "flow_runs", **mine) if run["state_type"] in types]

    scheduled = waited(lambda: of_state("api1", "SCHEDULED"))
    assert {run["id"] for run in scheduled} <= {
        run["id"] for run in rows(deployed, "api2", "flow_runs", **mine)
    }
    deployed.start("worker-cpu", "worker-gpu-standin")
    waited(lambda: of_state("api2", "PENDING", "RUNNING", "COMPLETED"))
    assert deployed.stop("api1", signal.SIGKILL) < 0
    done = waited(lambda: of_state("api2", "COMPLETED"))
    assert done[0]["state"]["message"] in {"1 of 1 scans explained", "nothing to do"}
    assert of_state("api2", "FAILED", "CRASHED") == []
    deployed.start("api1")
    assert {run["id"] for run in done} <= {run["id"] for run in rows(deployed, "api1", "flow_runs", **mine)}
    for name in ("worker-gpu-standin", "worker-cpu"):
        assert deployed.stop(name) == 0
    from agg2exp_core import open_store

    with pytest.MonkeyPatch.context() as patch:
        for variable, value in deployed.environment("worker-cpu").items():
            if variable.startswith("AWS_"):
                patch.setenv(variable, value)
        assert list(open_store(f"s3://{deployed.values['BUCKET']}/results").scans()) == ["s0"]
