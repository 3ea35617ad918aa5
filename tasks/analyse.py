"""Analyse the matrices of a store: findings as files, artifacts and events."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator
from typing import Any

import pandas as pd
import xarray as xr
from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.events import emit_event

from agg2exp_core.analysis import Findings, analyse
from agg2exp_core.importance import global_importance
from agg2exp_core.store import Store
from tasks.analyse_settings import AnalyseSettings, evidence_of, files_of
from tasks.resources import store_of
from tasks.retrying import RETRYING
from tasks.settings import artifact_key

FLAGGED = "agg2exp.scan.flagged"
UNSURE = "agg2exp.scan.unsure"
DRIFTED = "agg2exp.cohort.drifted"
VARIABLES = ("mass", "mass_without_background", "concentration")
"""Whose summaries over scans are told."""
N_SENTENCES = 3


@task(name="findings", task_run_name="findings {settings.label}", **RETRYING)
def find(settings: AnalyseSettings) -> dict[str, Any]:
    """Analyse what a store holds and write the findings; return their summary."""
    evidence = evidence_of(settings)
    findings = analyse(evidence, settings.analysis)
    findings.tables["matrices"] = pd.concat(_summaries(evidence.local), ignore_index=True)
    return write_findings(store_of(settings.store), settings, findings)


def _summaries(local: xr.Dataset) -> Iterator[pd.DataFrame]:
    for variable in VARIABLES:
        if variable in local:
            frame = global_importance(local, variable).to_dataframe().reset_index()
            frame = frame.rename(columns={"target": "class"})
            front = ["class", "roi", "roi_kind"]
            rest = [name for name in frame if name not in front]
            yield frame[[*front, *rest]].assign(variable=variable)[["variable", *front, *rest]]


def write_findings(store: Store, settings: AnalyseSettings, findings: Findings) -> dict[str, Any]:
    """Write tables and documents, the summary last; return it. What was there before is gone."""
    folder = settings.folder
    before = files_of(store, folder)
    store.root.delete(f"{folder}/summary.json")
    contents = {f"{name}.csv": table.to_csv(index=False) for name, table in findings.tables.items()}
    documents = {name: value for name, value in findings.documents.items() if name != "summary"}
    contents |= {f"{name}.json": json.dumps(value) for name, value in documents.items()}
    for name in set(before) - set(contents):
        store.root.delete(f"{folder}/{name}")
    for name, text in contents.items():
        store.write_file(f"{folder}/{name}", text.encode())
    summary = {"label": settings.label, **findings.documents["summary"], "files": sorted(contents)}
    write_summary(store, folder, summary)
    return summary


def write_summary(store: Store, folder: str, summary: dict[str, Any]) -> None:
    """Write the summary, after all that it lists."""
    store.write_file(f"{folder}/summary.json", json.dumps(summary, indent=2).encode())


@task(name="announce", task_run_name="announce {settings.label}", **RETRYING)
def announce(settings: AnalyseSettings, summary: dict[str, Any]) -> int:
    """Show the findings in the UI, and raise events for what is new; return how many."""
    store, folder, label = store_of(settings.store), settings.folder, settings.label
    shown = {name: value for name, value in summary.items() if name not in ("files", "skipped")}
    create_table_artifact(
        key=artifact_key("analysis", label),
        description=f"{label}: analysis of {summary['n_scans']} scans",
        table=[{"what": name, "value": value} for name, value in shown.items()]
        + [{"what": f"no {name}", "value": reason} for name, reason in summary["skipped"].items()],
    )
    n_events = 0
    if "scans.csv" in summary["files"]:
        flagged = flagged_scans(store, folder)
        create_table_artifact(
            key=artifact_key("flagged", label),
            description=f"{label}: {summary['n_flagged']} scans are abnormal, of {summary['n_unsure']} "
            "the model is unusually unsure",
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


def flagged_scans(store: Store, folder: str) -> list[dict[str, Any]]:
    """Return the scans that are abnormal or unsure, the most abnormal first, with the reasons."""
    scans, why = read_table(store, folder, "scans"), read_table(store, folder, "reasons")
    return [
        {
            "scan": row.scan,
            "abnormal": bool(row.flagged),
            "score": _rounded(row.score),
            "p_value": _rounded(row.p_value),
            "unsure": bool(row.unsure),
            "entropy": _rounded(row.entropy),
            "p_entropy": _rounded(row.p_entropy),
            "new": bool(row.new),
            "reasons": "; ".join(why.loc[why["scan"] == row.scan, "sentence"].head(N_SENTENCES)),
        }
        for row in scans[scans["flagged"] | scans["unsure"]].itertuples()
    ]


def _rounded(number: float) -> float | None:
    return None if math.isnan(number) else round(number, 4)


def _emit(event: str, resource: str, name: str, payload: dict[str, Any]) -> None:
    emit_event(
        event=event,
        resource={"prefect.resource.id": resource, "prefect.resource.name": name},
        payload=payload,
    )


def read_table(store: Store, folder: str, name: str) -> pd.DataFrame:
    """Return a table of the findings."""
    text = {"scan": str, "class": str, "roi": str}
    return pd.read_csv(io.BytesIO(store.read_file(f"{folder}/{name}.csv")), dtype=text)
