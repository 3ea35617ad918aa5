"""The stages of a benchmark as tasks, and its tables in the UI."""

from __future__ import annotations

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.runtime import task_run

from agg2exp.tasks.artifacts import artifact_key
from agg2exp.tasks.retrying import RETRYING
from agg2exp_core.pipeline import benchmark
from agg2exp_core.pipeline.tabulate import tabulate as write_tables


def _evaluation_name() -> str:
    given = task_run.parameters
    return f"{given['choice'].label} of {given['settings'].result_label} {given['scan_id']}"


perturb = task(name="perturb", task_run_name="perturb {scan_id} for {choice.label}", **RETRYING)(
    benchmark.perturb
)
evaluate = task(name="evaluate", task_run_name=_evaluation_name, **RETRYING)(benchmark.evaluate)


@task(name="tabulate", **RETRYING)
def tabulate(uri: str) -> int:
    """Write all scores of a store and their tables, and show them; return the number of scores."""
    tables = write_tables(uri)
    if not tables.n_scores:
        return 0
    create_table_artifact(
        key=artifact_key("benchmark"),
        description="Mean and standard deviation over scans and classes",
        table=tables.rows,
    )
    create_markdown_artifact(
        key=artifact_key("benchmark-table"), markdown=f"# Benchmark\n\n{tables.markdown}"
    )
    if tables.ranking:
        create_table_artifact(
            key=artifact_key("benchmark-roi-faithfulness"),
            description="Methods ranked by how true their matrices are",
            table=tables.ranking,
        )
    return tables.n_scores
