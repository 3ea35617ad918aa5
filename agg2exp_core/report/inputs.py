"""What a report takes from a store: findings, their pictures, the benchmark; each may be missing."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import pandas as pd

from agg2exp_core.errors import StoreError
from agg2exp_core.pipeline.evidence import read_summary, read_table
from agg2exp_core.report.output import Output
from agg2exp_core.report.sections import Missing, Picture
from agg2exp_core.store import Store

_DRAWN_ANYWAY = ("matrix", "graph")
"""Pictures of analyses that every cohort page draws itself."""


@dataclass(frozen=True, eq=False)
class Analyses:
    """The files under ``analysis/<label>/`` of a store, as ``docs/analyses.md`` describes them.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        By name, without the extension.
    documents : mapping of str to JSON-ready value
        By name, without the extension; ``summary`` among them once a store was analysed.
    """

    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    documents: Mapping[str, Any] = field(default_factory=dict)

    @property
    def summary(self) -> Mapping[str, Any]:
        """What is said of the analysis as a whole; empty before there is one."""
        summary: Mapping[str, Any] = self.documents.get("summary", {})
        return summary

    def table(self, name: str) -> pd.DataFrame | None:
        """Return a table that has rows, or None."""
        frame = self.tables.get(name)
        return None if frame is None or frame.empty else frame

    def told(self, *options: str) -> list[str]:
        """Return in sentences what of the evidence was used, by the options that named it."""
        told = self.summary.get("told", {})
        return [f"{option}: {'; '.join(told[option])}." for option in options if told.get(option)]

    def why_missing(self, analysis: str, needs: str = "") -> Missing:
        """Return why an analysis is missing, and the command that makes it."""
        command = f"agg2exp analyse STORE {needs}".rstrip()
        if not self.summary:
            return Missing("the store has not been analysed yet", command)
        reason = str(self.summary.get("skipped", {}).get(analysis, ""))
        if reason:
            return Missing(reason, command if needs and reason.startswith("without") else "")
        if needs:
            return Missing(f"the analysis was made without {needs.split()[0]}", command)
        return Missing("the analysis found nothing")


def analyses_of(store: Store, label: str) -> Analyses:
    """Return what the analyses of a label say; nothing if there were none."""
    folder = f"analysis/{label}"
    summary = read_summary(store, folder)
    if not summary:
        return Analyses()
    tables: dict[str, pd.DataFrame] = {}
    documents: dict[str, Any] = {"summary": summary}
    for path in map(PurePosixPath, summary["files"]):
        if path.parent != PurePosixPath("."):
            continue
        if path.suffix == ".csv":
            tables[path.stem] = read_table(store, folder, path.stem)
        elif path.suffix == ".json":
            documents[path.stem] = json.loads(store.read_file(f"{folder}/{path.name}"))
    return Analyses(tables, documents)


def analysis_pictures(out: Output, store: Store, label: str, analyses: Analyses) -> list[Picture]:
    """Let a report show the pictures of the analyses, in the dark too where they were drawn for it."""

    def found(name: str) -> str:
        return out.show_stored(store, f"analysis/{label}/figures/{name}", f"{label}/pictures/{name}")

    pictures = []
    for entry in analyses.documents.get("figures", []):
        name = entry["name"]
        if name not in _DRAWN_ANYWAY:
            has_dark = f"figures/{name}-dark.png" in entry["files"]
            dark_file = found(f"{name}-dark.png") if has_dark else ""
            pictures.append(Picture(found(f"{name}.png"), entry["caption"], entry["explanation"], dark_file))
    return pictures


def benchmark_of(store: Store) -> pd.DataFrame | None:
    """Return the summary of the benchmark, or None."""
    try:
        return pd.read_csv(io.BytesIO(store.read_file("benchmark/table1.csv")))
    except StoreError:
        return None
