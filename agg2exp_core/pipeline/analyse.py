"""Analyse the matrices of a store: findings as tables and documents beside them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from agg2exp_core.analysis import Findings, analyse, read_published
from agg2exp_core.importance import global_importance
from agg2exp_core.pipeline.cache import store_of
from agg2exp_core.pipeline.evidence import evidence_of, files_of, read_table
from agg2exp_core.pipeline.settings import AnalyseSettings
from agg2exp_core.store import Store, open_store

IMPORTED = "smoothgrad"
"""Label of a table that is imported: the method of the published one."""
VARIABLES = ("mass", "mass_without_background", "concentration")
"""Whose summaries over scans are told."""
N_SENTENCES = 3


def import_table(store: str, path: Path, label: str) -> int:
    """Write the matrices of a table in the paper's column scheme into a store; return the number of scans.

    Raises
    ------
    UsageError
        If it is no such table.
    StoreError
        If the store holds other results under this label.
    """
    local = read_published(path)
    opened = open_store(store, create=True)
    opened.register_label(label, "imported", {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
    opened.write_importance(label, local, global_importance(local))
    return int(local.sizes["scan"])


def analyse_store(settings: AnalyseSettings) -> dict[str, Any]:
    """Analyse what a store holds and write the findings; return their summary.

    Raises
    ------
    UsageError
        If a file of the user's cannot be used.
    StoreError
        If a store or its matrices are not there.
    """
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


def flagged_scans(store: Store, folder: str) -> list[dict[str, Any]]:
    """Return the scans that are abnormal or unsure, the most abnormal first, with the reasons."""
    scans, why = read_table(store, folder, "scans"), read_table(store, folder, "reasons")
    quality: dict[str, str] = {}
    if "triage.csv" in files_of(store, folder):
        listed = read_table(store, folder, "triage")
        quality = dict(zip(listed["scan"], listed["sentence"], strict=True))
    return [
        {
            "scan": row["scan"],
            "abnormal": bool(row["flagged"]),
            "score": _rounded(row["score"]),
            "p_value": _rounded(row["p_value"]),
            "unsure": bool(row["unsure"]),
            "entropy": _rounded(row["entropy"]),
            "p_entropy": _rounded(row["p_entropy"]),
            "new": bool(row["new"]),
            "quality": quality.get(row["scan"], ""),
            "reasons": "; ".join(why.loc[why["scan"] == row["scan"], "sentence"].head(N_SENTENCES)),
        }
        for row in scans[scans["flagged"] | scans["unsure"]].to_dict("records")
    ]


def _rounded(number: float) -> float | None:
    return None if math.isnan(number) else round(number, 4)
