"""Flow `ingest`: what arrives in a folder, a bucket or a PACS becomes de-identified scans to explain."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from prefect import flow, get_run_logger
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound

from agg2exp.flows.alerts import alert
from agg2exp.flows.places import require_places
from agg2exp.tasks.intake import find_units, identity_key, import_scans, report_intake
from agg2exp_core.errors import UsageError
from agg2exp_core.intake.ledger import (
    ACCEPTED,
    FAILED,
    KNOWN,
    NO_IMAGE,
    NOT_WANTED,
    QUARANTINED,
    ImportRecord,
)
from agg2exp_core.intake.settings import IngestSettings, IngestSummary, importer_of
from agg2exp_core.pipeline.outcomes import Alert


@flow(name="ingest", flow_run_name="ingest", persist_result=False)
def ingest(settings: IngestSettings) -> IngestSummary:
    """Take in what is new and has settled; a bad series is recorded, and the others go on.

    Parameters
    ----------
    settings : IngestSettings
        Where scans come from, where they go, which are wanted, who explains them.

    Returns
    -------
    IngestSummary
        How each series and file fared.
    """
    require_places(settings)
    importer_of(settings, identity_key())
    if settings.explain_with is not None:
        _require_deployment(settings.explain_with)
    log = get_run_logger()
    entries: list[ImportRecord] = []
    for unit in find_units(settings):
        entries += import_scans(settings, unit)
    summary = IngestSummary(settings.into, entries)
    statuses = (ACCEPTED, KNOWN, NOT_WANTED, NO_IMAGE, QUARANTINED, FAILED)
    counts = {status: summary.count(status) for status in statuses}
    log.info(", ".join(f"{n} {status}" for status, n in counts.items()))
    if entries:
        report_intake(entries)
    for entry in entries:
        if entry.is_bad:
            content = entry.content[:12] or "unknown"
            alert(Alert(content, "ingest", entry.reason, is_quarantined=entry.status == QUARANTINED))
    if settings.explain_with is not None and counts[ACCEPTED]:
        scans = [str(Path(settings.into).resolve())]
        run = cast(
            FlowRun,
            run_deployment(settings.explain_with, parameters={"scans": scans}, timeout=0, as_subflow=False),
        )
        log.info("handed over to %s as %s", settings.explain_with, run.name)
    return summary


def _require_deployment(name: str) -> None:
    with get_client(sync_client=True) as client:
        try:
            client.read_deployment_by_name(name)
        except (ObjectNotFound, ValueError):
            raise UsageError(
                "--explain-with",
                got=f"{name!r}, which this Prefect server does not hold",
                allowed="FLOW/DEPLOYMENT, such as explain-batch/nightly",
                remedy="run agg2exp deploy first, with PREFECT_API_URL set",
            ) from None
