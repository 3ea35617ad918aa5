"""What is deployed: pools, queues with priorities, and the flows on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from prefect.deployments.runner import RunnerDeployment
from prefect.events import DeploymentEventTrigger

from agg2exp_core.attribution import METHODS
from agg2exp_core.metrics import METRICS
from deployments.deployment import Schedule, deployed
from flows.analyse import analyse
from flows.batch import (
    BENCHMARK_PART,
    PART,
    PARTS_POOL,
    benchmark_batch,
    benchmark_part,
    explain_batch,
    explain_part,
)
from flows.ingest import ingest
from flows.reduce import reduce
from flows.retention import retention
from tasks.analyse_settings import AnalyseSettings
from tasks.choices import benchmark_of
from tasks.intake_settings import IngestSettings
from tasks.retention_settings import RetentionSettings
from tasks.returning import ReturnSettings
from tasks.settings import ExplainSettings

POOLS: Mapping[str, str] = {
    PARTS_POOL: "One worker a device, one run at a time: attributions.",
    "cpu": "Batches that fan out, reductions.",
}
"""Work pools and what runs on them."""

QUEUES: Mapping[str, int] = {"nightly": 1, "backfill": 2}
"""Queues of each pool with their priorities: the smaller goes first."""


def catalogue(
    scans: list[str],
    settings: ExplainSettings,
    schedule: Schedule | None,
    results: ReturnSettings | None = None,
) -> list[RunnerDeployment]:
    """Return all deployments.

    Parameters
    ----------
    scans : list of str
        Files and folders of the nightly batch.
    settings : ExplainSettings
        How they are explained.
    schedule : Schedule or None
        When; None for at request only.
    results : ReturnSettings, optional
        Where the nightly batch sends results back to.
    """
    defaults: dict[str, Any] = {"scans": scans, "settings": asdict(settings)}
    judged = asdict(benchmark_of(settings, METHODS, METRICS))
    return [
        deployed(
            explain_part,
            PART,
            "Explain some scans on one device; sent by the batches.",
            queue="nightly",
            pool=PARTS_POOL,
        ),
        deployed(
            explain_batch,
            "nightly",
            "Explain the scans that are new.",
            queue="nightly",
            schedule=schedule,
            alone=True,
            parameters=defaults | {"queue": "nightly", "results": results and asdict(results)},
        ),
        deployed(
            explain_batch,
            "backfill",
            "Explain scans that lie there; the nightly batch goes first.",
            queue="backfill",
            parameters=defaults | {"queue": "backfill"},
        ),
        deployed(
            benchmark_part,
            BENCHMARK_PART,
            "Benchmark methods on some scans on one device; sent by the batches.",
            queue="backfill",
            pool=PARTS_POOL,
        ),
        deployed(
            benchmark_batch,
            "benchmark",
            "Judge attribution methods by metrics; what the store holds is kept.",
            queue="backfill",
            parameters={"scans": scans, "settings": judged},
        ),
        deployed(
            reduce,
            "reduce",
            "Write matrices again from what is stored, with other regions for one.",
            queue="backfill",
            parameters={"store": settings.store, "labels": [settings.result_label]},
        ),
    ]


def analysed(
    settings: ExplainSettings,
    reference: str | None,
    report: str | None = None,
    report_url: str | None = None,
) -> RunnerDeployment:
    """Return the deployment that analyses what the store holds, after each batch of explanations.

    Parameters
    ----------
    settings : ExplainSettings
        How scans are explained: whose results.
    reference : str or None
        Store of scans that the model is known to handle.
    report, report_url : str or None
        Folder for the pages of the report, as the workers see it, and where people open it.
    """
    wanted = AnalyseSettings(
        settings.store, settings.result_label, reference, report=report, report_url=report_url
    )
    return deployed(
        analyse,
        "analyse",
        "Findings of what the store holds, after each batch of explanations.",
        queue="nightly",
        alone=True,
        parameters={"settings": asdict(wanted)},
        triggers=[after(explain_batch.name)],
    )


def after(flow_name: str) -> DeploymentEventTrigger:
    """Return what starts a deployment once a run of a flow has ended, all of its scans done or not."""
    return DeploymentEventTrigger(
        name=f"agg2exp: after {flow_name}",
        expect={"prefect.flow-run.Completed", "prefect.flow-run.Failed"},
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related={"prefect.resource.role": "flow", "prefect.resource.name": flow_name},
    )


def intake(settings: IngestSettings, schedule: Schedule | None) -> RunnerDeployment:
    """Return the deployment that takes new scans in.

    Parameters
    ----------
    settings : IngestSettings
        Where they come from, and where they go.
    schedule : Schedule or None
        When; None for at request only.
    """
    return deployed(
        ingest,
        "ingest",
        "Take in new scans, de-identified and each once.",
        queue="nightly",
        schedule=schedule,
        alone=True,
        parameters={"settings": asdict(settings)},
    )


def retained(settings: RetentionSettings, schedule: Schedule | None) -> RunnerDeployment:
    """Return the deployment that drops old voxels.

    Parameters
    ----------
    settings : RetentionSettings
        Of which store, and how old.
    schedule : Schedule or None
        When; None for at request only.
    """
    return deployed(
        retention,
        "retention",
        "Drop the voxels of old attributions; their matrices stay.",
        queue="backfill",
        schedule=schedule,
        alone=True,
        parameters={"settings": asdict(settings)},
    )
