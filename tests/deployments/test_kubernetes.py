"""The files for a cluster: fit for Kubernetes, fit for Prefect's worker, and hardened."""

import asyncio
import json
from pathlib import Path
from unittest.mock import AsyncMock
from uuid import uuid4

import kubernetes_validate
import pytest
import yaml
from prefect.client.schemas.objects import FlowRun

from agg2exp.deployments.workers import HEARTBEAT_S, N_RETRIES, N_S3_ATTEMPTS
from tests.commands import parsed, parsed_by_prefect

FOLDER = Path(__file__).resolve().parents[2] / "deployments" / "kubernetes"
TEMPLATE = json.loads((FOLDER / "gpu-pool.json").read_text())
MANIFESTS = list(yaml.safe_load_all((FOLDER / "workers.yaml").read_text()))
VERSIONS = ("1.30", "1.37")


@pytest.fixture(scope="module")
def job():
    """What the worker of the pool would create for a run."""
    from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration

    async def made():
        read = KubernetesWorkerJobConfiguration.from_template_and_values
        told = {"env": {"PREFECT_LOGGING_LEVEL": "INFO"}}
        configuration = await read(TEMPLATE, told, client=AsyncMock())
        configuration.prepare_for_flow_run(FlowRun(id=uuid4(), flow_id=uuid4(), name="a run of Ours"))
        return configuration.job_manifest

    return asyncio.run(made())


def pods(job):
    specs = {"job": job["spec"]["template"]["spec"]}
    for manifest in MANIFESTS:
        if manifest["kind"] == "Deployment":
            specs[manifest["metadata"]["name"]] = manifest["spec"]["template"]["spec"]
    return specs


@pytest.mark.parametrize("version", VERSIONS)
def test_the_manifests_fit_kubernetes(version, job):
    for manifest in [*MANIFESTS, job]:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_a_run_has_one_gpu(job):
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert container["args"] == ["prefect", "flow-run", "execute"]


def test_a_run_gives_the_signs_of_life_that_the_automations_wait_for(job):
    (container,) = job["spec"]["template"]["spec"]["containers"]
    told = {pair["name"]: pair.get("value") for pair in container["env"]}
    assert told["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == str(HEARTBEAT_S)
    assert told["PREFECT_CLIENT_MAX_RETRIES"] == str(N_RETRIES)
    assert told["AWS_MAX_ATTEMPTS"] == str(N_S3_ATTEMPTS)
    assert told["PREFECT_LOGGING_LEVEL"] == "INFO"


def test_pods_are_hardened_and_have_limits(job):
    assert len(pods(job)) == 3
    for spec in pods(job).values():
        whole = spec["securityContext"]
        assert (whole["runAsNonRoot"], whole["runAsUser"]) == (True, 10001)
        assert whole["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = spec["containers"]
        own = container["securityContext"]
        assert own["readOnlyRootFilesystem"] is True
        assert own["allowPrivilegeEscalation"] is False
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]
        assert container["image"].split(":")[1][0].isdigit()
        writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
        assert {"/state", "/tmp"} <= writable


def test_secrets_come_by_reference(job):
    for spec in pods(job).values():
        (container,) = spec["containers"]
        assert container["envFrom"] == [{"secretRef": {"name": "agg2exp"}}]
        for pair in container.get("env", []):
            assert not any(word in pair["name"] for word in ("PASSWORD", "SECRET_ACCESS", "IDENTITY_KEY"))
    assert not [manifest for manifest in MANIFESTS if manifest["kind"] == "Secret"]


def test_the_commands_of_the_workers_are_understood(job):
    commands = {name: spec["containers"][0]["command"] for name, spec in pods(job).items() if name != "job"}
    assert parsed_by_prefect(commands["agg2exp-dispatcher"][1:]) == "start"
    assert parsed(commands["agg2exp-cpu"][1:]) == (
        "worker",
        {"devices": "cpu", "pool": "cpu", "debug": False},
    )
