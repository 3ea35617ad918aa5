"""What is deployed: pools, queues with priorities, and the flows on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prefect.deployments.runner import RunnerDeployment
from prefect.events import DeploymentEventTrigger

from agg2exp.deployments.deployment import deployed, schedule_of
from agg2exp.deployments.settings import ServiceSettings
from agg2exp.flows.analyse import analyse
from agg2exp.flows.batch import (
    BENCHMARK_PART,
    PART,
    PARTS_POOL,
    benchmark_batch,
    benchmark_part,
    explain_batch,
    explain_part,
)
from agg2exp.flows.ingest import ingest
from agg2exp.flows.reduce import reduce
from agg2exp.flows.retention import retention
from agg2exp_core.export.pacs import ReturnSettings
from agg2exp_core.intake.settings import IngestSettings
from agg2exp_core.pipeline.benchmark_settings import BenchmarkSettings
from agg2exp_core.pipeline.settings import (
    AnalyseSettings,
    ExplainSettings,
    ReduceSettings,
    RetentionSettings,
)

POOLS: Mapping[str, str] = {
    PARTS_POOL: "One worker a device, one run at a time: attributions.",
    "cpu": "Batches that fan out, reductions.",
}
"""Work pools and what runs on them."""

QUEUES: Mapping[str, int] = {"nightly": 1, "backfill": 2}
"""Queues of each pool with their priorities: the smaller goes first."""


@dataclass(frozen=True)
class Service:
    """The settings of all that a service does.

    Parameters
    ----------
    service : ServiceSettings
        Which scans, and when.
    explain, benchmark, analyse : settings
        How they are explained, judged and analysed.
    intake : IngestSettings or None
        Where scans come from, where they are taken in.
    results : ReturnSettings or None
        Where the nightly batch sends results back to.
    retention : RetentionSettings or None
        How long voxels are kept, where not for ever.
    """

    service: ServiceSettings
    explain: ExplainSettings
    benchmark: BenchmarkSettings
    analyse: AnalyseSettings
    intake: IngestSettings | None = None
    results: ReturnSettings | None = None
    retention: RetentionSettings | None = None

    @classmethod
    def of(cls, explain: ExplainSettings, **service: Any) -> Service:
        """Return a service that explains so, everything else as it is by default.

        Parameters
        ----------
        explain : ExplainSettings
            How scans are explained.
        **service
            Fields of `ServiceSettings`.
        """
        return cls(
            ServiceSettings(**{"scans": [], **service}),
            explain,
            BenchmarkSettings(store=explain.store, model=explain.model, device=explain.device),
            AnalyseSettings(store=explain.store, label=explain.result_label),
        )


def catalogue(wanted: Service) -> list[RunnerDeployment]:
    """Return all deployments of a service.

    Raises
    ------
    UsageError
        If a schedule means nothing.
    """
    return [*_batches(wanted), *_beside(wanted)]


def _batches(wanted: Service) -> Iterator[RunnerDeployment]:
    """Yield what explains and benchmarks scans on the devices of the workers."""
    service = wanted.service
    scans = {"scans": service.scans}
    explained = scans | {"settings": wanted.explain.model_dump(mode="json")}
    results = wanted.results and wanted.results.model_dump(mode="json")
    yield deployed(
        explain_part,
        PART,
        "Explain some scans on one device; sent by the batches.",
        queue="nightly",
        pool=PARTS_POOL,
    )
    yield deployed(
        explain_batch,
        "nightly",
        "Explain the scans that are new.",
        queue="nightly",
        schedule=schedule_of(service.cron, service.timezone),
        alone=True,
        parameters=explained | {"queue": "nightly", "results": results},
    )
    yield deployed(
        explain_batch,
        "backfill",
        "Explain scans that lie there; the nightly batch goes first.",
        queue="backfill",
        parameters=explained | {"queue": "backfill"},
    )
    yield deployed(
        benchmark_part,
        BENCHMARK_PART,
        "Benchmark methods on some scans on one device; sent by the batches.",
        queue="backfill",
        pool=PARTS_POOL,
    )
    yield deployed(
        benchmark_batch,
        "benchmark",
        "Judge attribution methods by metrics; what the store holds is kept.",
        queue="backfill",
        parameters=scans | {"settings": wanted.benchmark.model_dump(mode="json")},
    )


def _beside(wanted: Service) -> Iterator[RunnerDeployment]:
    """Yield what happens before and after the batches."""
    service = wanted.service
    again = ReduceSettings(store=wanted.explain.store, labels=[wanted.explain.result_label])
    yield deployed(
        reduce,
        "reduce",
        "Write matrices again from what is stored, with other regions for one.",
        queue="backfill",
        parameters={"settings": again.model_dump(mode="json")},
    )
    yield deployed(
        analyse,
        "analyse",
        "Findings of what the store holds, after each batch of explanations.",
        queue="nightly",
        alone=True,
        parameters={"settings": wanted.analyse.model_dump(mode="json")},
        triggers=[after(explain_batch.name)],
    )
    if wanted.intake is not None:
        yield deployed(
            ingest,
            "ingest",
            "Take in new scans, de-identified and each once.",
            queue="nightly",
            schedule=schedule_of(service.ingest_cron, service.timezone),
            alone=True,
            parameters={"settings": wanted.intake.model_dump(mode="json")},
        )
    if wanted.retention is not None:
        yield deployed(
            retention,
            "retention",
            "Drop the voxels of old attributions; their matrices stay.",
            queue="backfill",
            schedule=schedule_of(service.retention_cron, service.timezone),
            alone=True,
            parameters={"settings": wanted.retention.model_dump(mode="json")},
        )


def after(flow_name: str) -> DeploymentEventTrigger:
    """Return what starts a deployment once a run of a flow has ended, all of its scans done or not."""
    return DeploymentEventTrigger(
        name=f"agg2exp: after {flow_name}",
        expect={"prefect.flow-run.Completed", "prefect.flow-run.Failed"},
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related={"prefect.resource.role": "flow", "prefect.resource.name": flow_name},
    )
