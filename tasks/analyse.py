"""Analyse the matrices of a store, and tell of the findings: artifacts and events."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.events import emit_event

from agg2exp.tasks.artifacts import artifact_key
from agg2exp.tasks.retrying import RETRYING
from agg2exp_core.pipeline import analyse
from agg2exp_core.pipeline.analyse import flagged_scans
from agg2exp_core.pipeline.cache import store_of
from agg2exp_core.pipeline.pictures import draw
from agg2exp_core.pipeline.settings import AnalyseSettings
from agg2exp_core.report.cohort_page import write_report

FLAGGED = "agg2exp.scan.flagged"
UNSURE = "agg2exp.scan.unsure"
DRIFTED = "agg2exp.cohort.drifted"

find = task(name="findings", task_run_name="findings {settings.label}", **RETRYING)(analyse.analyse_store)


@task(name="illustrate", task_run_name="illustrate {settings.label}", **RETRYING)
def illustrate(settings: AnalyseSettings, summary: dict[str, Any]) -> dict[str, Any]:
    """Draw what the findings say; return the summary with the pictures in its list of files."""
    summary, graph = draw(settings, summary)
    if graph is not None:
        image = base64.b64encode(graph.png).decode()
        create_markdown_artifact(
            key=artifact_key("graph", settings.label),
            description=f"{settings.label}: {graph.caption}",
            markdown=f"# {graph.caption}\n\n![{graph.caption}](data:image/png;base64,{image})",
        )
    return summary


@task(name="announce", task_run_name="announce {settings.label}", **RETRYING)
def announce(settings: AnalyseSettings, summary: dict[str, Any]) -> int:
    """Show the findings in the UI, and raise events for what is new; return how many."""
    store, folder, label = store_of(settings.store), settings.folder, settings.label
    apart = ("files", "skipped", "told", "triage")
    shown = {name: value for name, value in summary.items() if name not in apart}
    create_table_artifact(
        key=artifact_key("analysis", label),
        description=f"{label}: analysis of {summary['n_scans']} scans",
        table=[{"what": name, "value": value} for name, value in shown.items()]
        + [{"what": option, "value": "; ".join(said)} for option, said in summary["told"].items()]
        + [{"what": f"no {name}", "value": reason} for name, reason in summary["skipped"].items()],
    )
    if summary["triage"]:
        create_table_artifact(
            key=artifact_key("triage", label),
            description=f"{label}: scans to look at first, by predicted Dice",
            table=summary["triage"],
        )
    n_events = 0
    if "scans.csv" in summary["files"]:
        flagged = flagged_scans(store, folder)
        create_table_artifact(
            key=artifact_key("flagged", label),
            description=f"{label}: {summary['n_flagged']} scans are abnormal, in {summary['n_unsure']} "
            "the prediction is unusually uncertain",
            table=flagged,
        )
        for row in flagged:
            for event in (FLAGGED,) * row["abnormal"] + (UNSURE,) * row["unsure"]:
                if row["new"]:
                    _emit(event, f"agg2exp.scan.{row['scan']}", row["scan"], row | {"label": label})
                    n_events += 1
    if summary["drift"]:
        look = json.loads(store.read_file(f"{folder}/drift.json"))["looks"][-1]
        told = {"label": label, "n_scans": len(look["scans"]), "energy": look["energy"]}
        _emit(DRIFTED, f"agg2exp.cohort.{label}", label, told | {"p_value": look["p_value"]})
        n_events += 1
    return n_events


def _emit(event: str, resource: str, name: str, payload: dict[str, Any]) -> None:
    emit_event(
        event=event,
        resource={"prefect.resource.id": resource, "prefect.resource.name": name},
        payload=payload,
    )


@task(name="report", task_run_name="report {settings.label}", **RETRYING)
def link_report(settings: AnalyseSettings) -> str:
    """Write the pages of an analysed label, with the voxels of flagged scans; return their address.

    Raises
    ------
    UsageError
        If the folder holds something else than an earlier report.
    """
    assert settings.report is not None
    folder = Path(settings.report).absolute()
    n_pages = write_report(store_of(settings.store), [settings.label], folder, volumes="flagged")
    address = f"{(settings.report_url or folder.as_uri()).rstrip('/')}/index.html"
    create_link_artifact(
        key=artifact_key("report", settings.label),
        link=address,
        link_text=f"{settings.label}: report of {n_pages - 1} scans",
        description=f"{settings.label}: what the model looked at, scan by scan. A browser may refuse to open "
        "a folder from this page: copy the address then.",
    )
    return address
