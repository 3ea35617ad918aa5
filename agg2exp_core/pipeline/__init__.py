"""What a run of one scan or of a cohort does, resumable, without a workflow engine.

`settings` says what is asked for, `plan` checks it and finds the scans, `explain` explains them into a
store, `reduce` writes the matrices, `retention` drops old voxels, `benchmark` judges methods, `analyse` finds
what is abnormal and `pictures` draws it. Each stage takes plain data, leaves its results in the store, and
computes only what is missing there.
"""

from typing import TYPE_CHECKING

from agg2exp_core.lazy import lazy_names

if TYPE_CHECKING:
    from agg2exp_core.pipeline.benchmark import benchmark_cohort
    from agg2exp_core.pipeline.benchmark_settings import BenchmarkSettings
    from agg2exp_core.pipeline.explain import explain_cohort, explain_scan
    from agg2exp_core.pipeline.outcomes import Rejected, RunSummary, ScanJob, ScanOutcome
    from agg2exp_core.pipeline.plan import Plan, plan_scans
    from agg2exp_core.pipeline.reduce import reduce_store
    from agg2exp_core.pipeline.retention import retain
    from agg2exp_core.pipeline.settings import (
        AnalyseSettings,
        ExplainSettings,
        ReduceSettings,
        RetentionSettings,
    )

_HOMES = {
    "AnalyseSettings": "settings",
    "BenchmarkSettings": "benchmark_settings",
    "ExplainSettings": "settings",
    "Plan": "plan",
    "ReduceSettings": "settings",
    "Rejected": "outcomes",
    "RetentionSettings": "settings",
    "RunSummary": "outcomes",
    "ScanJob": "outcomes",
    "ScanOutcome": "outcomes",
    "benchmark_cohort": "benchmark",
    "explain_cohort": "explain",
    "explain_scan": "explain",
    "plan_scans": "plan",
    "reduce_store": "reduce",
    "retain": "retention",
}

__all__ = [
    "AnalyseSettings",
    "BenchmarkSettings",
    "ExplainSettings",
    "Plan",
    "ReduceSettings",
    "Rejected",
    "RetentionSettings",
    "RunSummary",
    "ScanJob",
    "ScanOutcome",
    "benchmark_cohort",
    "explain_cohort",
    "explain_scan",
    "plan_scans",
    "reduce_store",
    "retain",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
