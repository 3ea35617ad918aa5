"""The disk of a store fills up; once there is room again, the same command finishes the work."""

import os
import shutil
import subprocess

import pytest

from agg2exp.flows.explain import explain
from agg2exp_core import open_store
from agg2exp_core.pipeline.outcomes import ScanJob
from agg2exp_core.pipeline.settings import ExplainSettings
from tests.faults.batches import stored
from tests.flows.cohort import arrays, write_model, write_scan
from tests.flows.conftest import prefect_server  # noqa: F401

pytestmark = [
    pytest.mark.long,
    pytest.mark.faults,
    pytest.mark.timeout(400),
    pytest.mark.usefixtures("prefect_server"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk"),
]

ROOM_BYTES = 400 << 10
"""Enough for a scan, and not for three."""


@pytest.fixture
def disk(tmp_path):
    """A disk of four megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_batch_goes_on_once_there_is_room(disk, tmp_path):
    paths = [write_scan(tmp_path / "scans" / f"s{n}.nii.gz", seed=n) for n in range(3)]
    jobs = [ScanJob(f"s{n}", str(path)) for n, path in enumerate(paths)]
    settings = ExplainSettings(
        store=str(disk / "store"),
        model=str(write_model(tmp_path / "model")),
        method="vanilla_gradient",
        device="cpu",
    )
    filler = disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(disk).free - ROOM_BYTES))

    state = explain(jobs, settings, return_state=True)
    outcome = state.result(raise_on_failure=False)
    said = str(outcome) if isinstance(outcome, Exception) else " ".join(o.reason for o in outcome.outcomes)
    assert "No space left" in said
    assert "free space" in said

    filler.unlink()
    assert explain(jobs, settings).n_done == 3
    explain(jobs, settings.model_copy(update={"store": str(tmp_path / "near")}))
    assert arrays(disk / "store") == arrays(tmp_path / "near")
    assert set(stored(str(disk / "store"))) == set(stored(str(tmp_path / "near")))
    assert open_store(disk / "store").failures() == {}
