"""Flow `analyse`: findings, pictures and events from the matrices of a store."""

from __future__ import annotations

from typing import Any

from prefect import flow, get_run_logger

from tasks.analyse import announce, find
from tasks.analyse_settings import AnalyseSettings
from tasks.illustrate import illustrate
from tasks.report_link import link_report


@flow(name="analyse", flow_run_name="analyse {settings.label}", persist_result=False)
def analyse(settings: AnalyseSettings) -> dict[str, Any]:
    """Analyse the matrices of a store; raise events for scans that are newly flagged, and for drift.

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
    summary = find(settings)
    if settings.figures:
        summary = illustrate(settings, summary)
    if settings.report is not None:
        link_report(settings)
    n_events = announce(settings, summary)
    get_run_logger().info(
        "%d scans, %s flagged, %d events", summary["n_scans"], summary["n_flagged"], n_events
    )
    return summary
