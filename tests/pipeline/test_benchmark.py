"""Scores are stored and kept; what one method cannot do is told with its name, beside the others' results."""

import json

import pandas as pd
import pytest

from agg2exp_core.errors import UsageError
from agg2exp_core.pipeline.benchmark import benchmark_cohort, check_methods
from agg2exp_core.pipeline.benchmark_settings import BenchmarkSettings
from agg2exp_core.pipeline.outcomes import ScanJob
from agg2exp_core.pipeline.plan import plan_scans
from agg2exp_core.pipeline.tabulate import all_scores
from agg2exp_core.store import open_store
from tests.flows.cohort import CLASS_NAMES, write_model, write_scan


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return ScanJob("s1", str(write_scan(tmp_path_factory.mktemp("scans") / "s1.nii.gz", seed=1)))


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark")
    return {"store": str(folder / "store"), "model": str(write_model(folder / "model")), "device": "cpu"}


@pytest.mark.parametrize("method", ["kernelshap_cubes", "shapley_cubes"])
def test_too_few_samples_are_refused_before_anything_is_computed(shared, scan, method):
    settings = BenchmarkSettings(
        methods=["vanilla_gradient", method],
        metrics=["complexity"],
        method_params={method: {"n_samples": 2, "cube_side": 2}},
        **shared,
    )
    with pytest.raises(UsageError, match=rf"--set-method {method}.n_samples, scan s1: 2 for \d+ players"):
        check_methods([scan], settings)


def test_what_one_method_refuses_leaves_the_others_their_scores(shared, scan):
    settings = BenchmarkSettings(
        methods=["kernelshap_semantic", "vanilla_gradient"],
        metrics=["complexity"],
        method_params={"kernelshap_semantic": {"n_samples": 2}},
        **shared,
    )
    (outcome,) = benchmark_cohort([scan], settings).outcomes
    assert outcome.status == "failed"
    assert outcome.reason.startswith("kernelshap_semantic")
    assert "n_samples: 2 for " in outcome.reason
    store = open_store(shared["store"])
    assert set(all_scores(store)["method"]) == {"vanilla_gradient"}
    assert b"vanilla_gradient" in store.read_file("benchmark/table1.md")


METRICS = ["deletion", "insertion", "randomisation", "roi_deletion", "roi_insertion"]


def test_scores_of_the_metrics_of_truth(tmp_path):
    scan = str(write_scan(tmp_path / "scans" / "s1.nii.gz", seed=1))
    settings = BenchmarkSettings(
        store=str(tmp_path / "store"),
        model=str(write_model(tmp_path / "model")),
        methods=["vanilla_gradient"],
        metrics=METRICS,
        metric_params={"randomisation": {"n_stages": 1}, "deletion": {"n_steps": 3}},
        device="cpu",
    )
    plan = plan_scans([scan], None, settings.judged[0])
    told = [benchmark_cohort(plan.jobs, settings, plan.rejected).outcomes for _ in range(2)]
    assert [(o.status, o.n_computed, o.n_kept) for (o,) in told] == [("done", 5, 0), ("done", 0, 5)]
    scores = pd.read_parquet(tmp_path / "store" / "benchmark.parquet")
    assert set(scores["metric"]) == set(METRICS)
    assert set(scores["class"]) == set(CLASS_NAMES)
    details = scores["details"].map(json.loads)
    falls = details[scores["metric"] == "deletion"].map(lambda told: told["output_drop"])
    assert (scores["value"].isna() == details.map(lambda told: told.get("output_drop", 1) <= 0)).all()
    assert (falls > 0).any()
    assert "roi_insertion" in open_store(settings.store).read_file("benchmark/table1.md").decode()
