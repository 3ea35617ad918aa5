"""Flow `analyse`: findings, pictures and events from the matrices of a store."""

from __future__ import annotations

from typing import Any

from prefect import flow, get_run_logger

from agg2exp.flows.places import require_places
from agg2exp.tasks.analyse import announce, find, illustrate, link_report
from agg2exp_core.pipeline.settings import AnalyseSettings


@flow(name="analyse", flow_run_name="analyse {settings.label}", persist_result=False)
def analyse(settings: AnalyseSettings) -> dict[str, Any]:
    """Analyse the matrices of a store; raise events for what is newly abnormal or unsure, and for drift.

    With a folder for it, the pages of the report are written too, and linked in the UI.

    Parameters
    ----------
    settings : AnalyseSettings
        Which matrices, beside what.

    Returns
    -------
    dict
        The summary, as ``summary.json`` holds it.
    """
    require_places(settings)
    summary = find(settings)
    if settings.figures:
        summary = illustrate(settings, summary)
    if settings.report is not None:
        link_report(settings)
    n_events = announce(settings, summary)
    get_run_logger().info(
        "%d scans, %s abnormal, %s unsure, %d events",
        *(summary[name] for name in ("n_scans", "n_flagged", "n_unsure")),
        n_events,
    )
    return summary
