"""Stage 5: the report's page of a run, and artifacts in the Prefect UI."""

from __future__ import annotations

import base64

import numpy as np
from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from agg2exp.tasks.artifacts import artifact_key
from agg2exp.tasks.retrying import RETRYING
from agg2exp_core.pipeline.cache import store_of
from agg2exp_core.pipeline.outcomes import RunSummary
from agg2exp_core.report import publish_report
from agg2exp_core.store import Store


@task(name="publish", task_run_name="publish {summary.label}", **RETRYING)
def publish(summary: RunSummary) -> list[str]:
    """Write ``report/index.html``, show outcomes and matrices in the UI; return the files."""
    store = store_of(summary.store)
    _show_outcomes(summary)
    if not summary.n_cohort:
        return []
    files = publish_report(store, summary)
    _show_matrix(store, summary)
    return files


def _show_outcomes(summary: RunSummary) -> None:
    create_table_artifact(
        key=artifact_key("scans", summary.label),
        description=f"{summary.label}: {summary.counts}; "
        f"{summary.n_done} of {len(summary.outcomes)} scans explained",
        table=[
            {
                "scan": outcome.scan_id,
                "status": outcome.status,
                "classes": outcome.n_classes,
                "computed": outcome.n_computed,
                "kept": outcome.n_kept,
                "seconds": round(outcome.seconds, 1),
                "reason": outcome.reason,
            }
            for outcome in summary.outcomes
        ],
    )


def _show_matrix(store: Store, summary: RunSummary) -> None:
    label, mean = summary.label, store.global_importance(summary.label)["mean"]
    table: list[dict[str, object]] = []
    for target in map(str, mean["target"].values):
        shares = zip(map(str, mean["roi"].values), mean.sel(target=target).values.tolist(), strict=True)
        row = {roi: round(share, 4) if np.isfinite(share) else "absent" for roi, share in shares}
        table.append({"class": target, **row})
    create_table_artifact(
        key=artifact_key("matrix", label),
        description=f"{label}: mean importance of regions (columns) for classes (rows)",
        table=table,
    )
    image = base64.b64encode(store.read_file(f"report/{label}/pictures/heat_map.png")).decode()
    caption = "Importance of each region for each class"
    over = "One scan" if summary.n_cohort == 1 else f"Mean over {summary.n_cohort} scans"
    create_markdown_artifact(
        key=artifact_key("heat-map", label),
        description=f"{label}: importance of regions for classes",
        markdown=f"# {caption}\n\n![{caption}](data:image/png;base64,{image})\n\n"
        "A row explains one class; its cells say in which regions the attribution lies. "
        f"Rows sum to one over the model's own classes. {over}.",
    )
