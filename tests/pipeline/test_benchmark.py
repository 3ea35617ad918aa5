"""The metrics of truth in a benchmark: scores are stored, kept, and tabulated."""

import json

import pandas as pd

from agg2exp_core import open_store
from agg2exp_core.pipeline import BenchmarkSettings, benchmark_cohort, plan_scans
from tests.flows.cohort import CLASS_NAMES, write_model, write_scan

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
    falls = details[scores["metric"] == "deletion"].map(lambda told: told["output_fall"])
    assert (scores["value"].isna() == details.map(lambda told: told.get("output_fall", 1) <= 0)).all()
    assert (falls > 0).any()
    assert "roi_insertion" in open_store(settings.store).read_file("benchmark/table1.md").decode()
