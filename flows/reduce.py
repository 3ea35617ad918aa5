"""Flow `reduce`: matrices again from stored attributions, for instance with new regions."""

from __future__ import annotations

from prefect import flow

from agg2exp.flows.places import require_places
from agg2exp.tasks.explain import add_regions, drop_region, reduce_cohort, reduce_scan
from agg2exp.tasks.publish import publish
from agg2exp_core.pipeline.outcomes import RunSummary
from agg2exp_core.pipeline.reduce import ReductionStages, reduce_store
from agg2exp_core.pipeline.settings import ReduceSettings

STAGES = ReductionStages(add_regions, drop_region, reduce_scan, reduce_cohort)
"""The stages as tasks."""


@flow(name="reduce", flow_run_name="reduce {settings.labels}")
def reduce(settings: ReduceSettings) -> list[RunSummary]:
    """Write the local and global matrices of labels anew where what they depend on has changed.

    Parameters
    ----------
    settings : ReduceSettings
        Which results; with other regions, or without some.

    Returns
    -------
    list of RunSummary
        One a label: how each of its scans fared.
    """
    require_places(settings)
    summaries = reduce_store(settings, STAGES)
    for summary in summaries:
        publish(summary)
    return summaries
