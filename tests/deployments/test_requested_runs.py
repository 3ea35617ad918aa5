"""Deployments that people start from their forms: matrices again, trainings, comparisons."""

import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from prefect.client.orchestration import get_client
from prefect.deployments import run_deployment
from prefect.exceptions import PrefectHTTPStatusError

from agg2exp.flows.batch import PARTS_POOL
from agg2exp_cli.__main__ import run
from agg2exp_core import open_store
from agg2exp_core.models import load_model
from agg2exp_core.phantom import write_tree
from agg2exp_core.training import TrainingConfig
from tests.deployments.test_batch_on_workers import workers
from tests.deployments.test_intake_on_workers import deploy
from tests.flows.cohort import write_model, write_scan
from tests.flows.conftest import prefect_server  # noqa: F401
from tests.flows.test_train import TINY

pytestmark = pytest.mark.usefixtures("prefect_server")


def of_form(name, **parameters):
    """A run of a deployment, once it ended."""
    return run_deployment(name, parameters=parameters, timeout=300, as_subflow=False)


@pytest.mark.service
def test_every_flow_has_a_deployment_with_typed_parameters(tmp_path):
    (tmp_path / "drop").mkdir()
    assert deploy(tmp_path, "--keep-days", "90", "--ingest-from", str(tmp_path / "drop")) == 0
    with get_client(sync_client=True) as client:
        there = {deployment.name: deployment for deployment in client.read_deployments()}
    asked = {"train", "pretrain", "compare-models", "reduce"}
    nightly = {"nightly", "backfill", "benchmark", "analyse", "ingest", "retention"}
    assert set(there) == asked | nightly | {"explain-part", "benchmark-part"}
    form = there["train"].parameter_openapi_schema["definitions"]
    assert {"network", "preprocessing", "data", "training"} <= form["TrainingConfig"]["properties"].keys()
    assert form["TrainSettings"]["required"] == ["config", "out"]


@pytest.mark.service
def test_without_the_extra_for_training_the_others_are_deployed(tmp_path):
    block = (
        "import sys; sys.modules['lightning_fabric'] = None; from agg2exp_cli.__main__ import main; main()"
    )
    model = str(write_model(tmp_path / "model"))
    words = ["deploy", str(tmp_path), "--model", model, "--out", str(tmp_path / "store"), "--device", "cpu"]
    done = subprocess.run([sys.executable, "-c", block, *words], capture_output=True, text=True, check=True)
    assert "no deployments of training: training: no module lightning_fabric" in done.stdout
    assert "deployment explain-batch/nightly" in done.stdout
    assert "deployment train/train" not in done.stdout


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_training_and_a_comparison(tmp_path):
    deploy(tmp_path)
    config = TrainingConfig.model_validate(TINY).model_dump(mode="json")
    with pytest.raises(PrefectHTTPStatusError, match="409"):
        of_form("train/train", settings={"config": config})
    list(write_tree("test", tmp_path / "tree", n=2, spacing_mm=8.0))
    with workers("cpu", PARTS_POOL):
        settings = {"config": config, "out": str(tmp_path / "run"), "device": "cpu"}
        trained = of_form("train/train", settings=settings, cross_entropy_weights=[0.5, 1.0])
        assert trained.state.is_completed(), trained.state
        models = {f"lambda {w}": str(tmp_path / "run" / f"lambda_{w}" / "model") for w in ("0.5", "1")}
        where = {"out": str(tmp_path / "table"), "tree": str(tmp_path / "tree"), "device": "cpu"}
        compared = of_form("compare-models/compare-models", settings={"models": models, **where})
    assert compared.state.is_completed(), compared.state
    assert {load_model(path, "cpu").n_classes for path in models.values()} == {17}
    assert "lambda 0.5" in (tmp_path / "table" / "table3.md").read_text()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_matrices_again_with_a_region_more(tmp_path):
    scan = write_scan(tmp_path / "in" / "s0.nii.gz")
    deploy(tmp_path)
    words = ["explain", str(scan), "--model", str(write_model(tmp_path / "model")), "--device", "cpu"]
    assert run([*words, "--method", "vanilla_gradient", "--out", str(tmp_path / "store")]) == 0
    image = nib.load(scan)
    lesion = np.zeros(image.shape, np.uint8)
    lesion[4:14, 3:15, 5:17] = 1
    (tmp_path / "rois" / "s0").mkdir(parents=True)
    nib.save(nib.Nifti1Image(lesion, image.affine), tmp_path / "rois" / "s0" / "lesion.nii.gz")
    with workers("cpu", "cpu"):
        where = {"store": str(tmp_path / "store"), "rois": str(tmp_path / "rois")}
        done = of_form("reduce/reduce", settings=where | {"labels": ["vanilla_gradient"]})
    assert done.state.is_completed(), done.state
    assert "lesion" in open_store(tmp_path / "store").importance("vanilla_gradient")["roi"].values
