"""The core explains a cohort into a store and goes on where it stopped, in an environment without Prefect."""

import json
import os
import subprocess
import sys
from pathlib import Path

from agg2exp_core.pipeline.settings import ExplainSettings
from tests.flows.cohort import write_model, write_scan

SCRIPT = """
import json
import sys


class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("prefect", "agg2exp", "agg2exp_cli"):
            raise ModuleNotFoundError(name, name=name)


sys.meta_path.insert(0, NotInstalled())

from agg2exp_core import open_store
from agg2exp_core.pipeline import (
    BenchmarkSettings, ExplainSettings, ReduceSettings, RetentionSettings, benchmark_cohort, explain_cohort,
    plan_scans, reduce_store, retain,
)

settings = ExplainSettings(**json.loads(sys.argv[1]))
plan = plan_scans(sys.argv[2:], None, settings)
told = []
for _ in range(2):
    summary = explain_cohort(plan.jobs, settings, plan.rejected)
    told.append([[o.scan_id, o.status, o.n_computed, o.n_kept] for o in summary.outcomes])
same = settings.model_dump(include={"store", "model", "device"})
judged = BenchmarkSettings(methods=["vanilla_gradient"], metrics=["complexity"], **same)
benchmark = benchmark_cohort(plan.jobs, judged)
retained = retain(RetentionSettings(store=settings.store, keep_days=0))
reduced = reduce_store(ReduceSettings(store=settings.store))
print(json.dumps({
    "explained": told,
    "n_cohort": summary.n_cohort,
    "benchmarked": [o.n_computed for o in benchmark.outcomes if o.status == "done"],
    "dropped": retained.n_dropped,
    "reduced": [outcome.status for outcome in reduced[0].outcomes],
    "failures": sorted(open_store(settings.store).failures()),
    "prefect": "prefect" in sys.modules,
}))
"""


def test_a_cohort_is_explained_kept_judged_and_reduced(tmp_path):
    scans = [str(write_scan(tmp_path / "scans" / f"s{seed}.nii.gz", seed=seed)) for seed in (1, 2)]
    (tmp_path / "scans" / "bad.nii.gz").write_bytes(b"no image")
    settings = ExplainSettings(
        store=str(tmp_path / "store"),
        model=str(write_model(tmp_path / "model")),
        method="vanilla_gradient",
        device="cpu",
    )
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            SCRIPT,
            settings.model_dump_json(),
            *scans,
            str(tmp_path / "scans/bad.nii.gz"),
        ],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    first, second = ({scan: rest for scan, *rest in run} for run in told["explained"])
    assert first["bad"] == second["bad"] == ["rejected", 0, 0]
    for scan in ("s1", "s2"):
        status, n_computed, n_kept = first[scan]
        assert (status, n_kept) == ("done", 0)
        assert n_computed >= 3
        assert second[scan] == ["done", 0, n_computed]
    assert told["n_cohort"] == 2
    assert told["benchmarked"] == [1, 1]
    assert told["dropped"] == sum(first[scan][1] for scan in ("s1", "s2"))
    assert told["reduced"] == ["done", "done"]
    assert told["failures"] == ["bad"]
    assert not told["prefect"]
