"""Matrices on a Dask scheduler of other processes."""

import pytest
from dask import config
from distributed import LocalCluster

from agg2exp.flows.explain import explain
from agg2exp_core import open_store
from agg2exp_core.errors import UsageError
from agg2exp_core.pipeline.dask_scheduler import given_scheduler
from agg2exp_core.pipeline.outcomes import ScanJob
from agg2exp_core.pipeline.reduce import write_rows
from agg2exp_core.pipeline.settings import ExplainSettings
from tests.flows.cohort import arrays, write_model, write_scan
from tests.flows.conftest import prefect_server  # noqa: F401


@pytest.mark.service
@pytest.mark.usefixtures("prefect_server")
def test_a_given_scheduler_reduces_to_the_same_matrix(tmp_path):
    job = ScanJob("s0", str(write_scan(tmp_path / "s0.nii.gz")))
    settings = ExplainSettings(
        store=str(tmp_path / "store"),
        model=str(write_model(tmp_path / "model")),
        method="vanilla_gradient",
        device="cpu",
    )
    explain([job], settings)
    here = arrays(tmp_path / "store")
    there = open_store(tmp_path / "store").scan("s0")
    rows, name = there.importance(settings.result_label)
    there.write_importance(settings.result_label, rows, f"not {name}")
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as cluster,
        config.set({"scheduler-address": cluster.scheduler_address}),
    ):
        assert write_rows(there, settings.result_label)
        n_transitions = cluster.scheduler.transition_counter
    assert n_transitions > 0
    assert arrays(tmp_path / "store") == here


def test_a_scheduler_that_does_not_answer_is_named():
    with (
        config.set({"scheduler-address": "tcp://127.0.0.1:1", "distributed.comm.timeouts.connect": "0.2s"}),
        pytest.raises(UsageError, match="DASK_SCHEDULER_ADDRESS: "),
        given_scheduler(),
    ):
        pass
