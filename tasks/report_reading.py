"""What a report takes from a store: findings, pictures, the benchmark; each may be missing."""

from __future__ import annotations

import io
import json
from pathlib import PurePosixPath

import pandas as pd

from agg2exp_core.errors import StoreError
from agg2exp_core.report.analyses import Analyses
from agg2exp_core.report.folder import ReportFolder
from agg2exp_core.report.sections import Picture
from agg2exp_core.store import Store

_TEXTS = {"scan": str, "class": str, "roi": str, "word": str, "column": str}


def analyses_of(store: Store, label: str) -> Analyses:
    """Return what the analyses of a label say; nothing if there were none."""
    folder = f"analysis/{label}"
    summary = _json(store, f"{folder}/summary.json")
    if summary is None:
        return Analyses()
    tables, documents = {}, {"summary": summary}
    for name in summary["files"]:
        path = PurePosixPath(name)
        if path.parent != PurePosixPath("."):
            continue
        if path.suffix == ".csv":
            text = io.BytesIO(store.read_file(f"{folder}/{name}"))
            tables[path.stem] = pd.read_csv(text, dtype=_TEXTS, keep_default_na=False, na_values=[""])
        elif path.suffix == ".json":
            documents[path.stem] = _json(store, f"{folder}/{name}")
    return Analyses(tables, documents)


def analysis_pictures(store: Store, label: str, analyses: Analyses, folder: ReportFolder) -> list[Picture]:
    """Copy the pictures of the analyses into a report, for a bright and a dark page."""
    pictures = []
    for entry in analyses.documents.get("figures") or []:
        addresses = []
        for name in (entry["name"], f"{entry['name']}-dark"):
            content = store.read_file(f"analysis/{label}/figures/{name}.png")
            addresses.append(folder.write(f"{label}/pictures/{name}.png", content))
        pictures.append(Picture(addresses[0], entry["caption"], entry["explanation"], addresses[1]))
    return pictures


def benchmark_of(store: Store) -> pd.DataFrame | None:
    """Return the summary of the benchmark, or None."""
    try:
        return pd.read_csv(io.BytesIO(store.read_file("benchmark/table1.csv")))
    except StoreError:
        return None


def _json(store: Store, name: str) -> object | None:
    try:
        return json.loads(store.read_file(name))
    except StoreError:
        return None
