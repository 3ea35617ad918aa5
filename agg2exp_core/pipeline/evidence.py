"""The evidence that an analysis is given: what a store, its reference and the user's files hold."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from agg2exp_core.analysis import (
    Evidence,
    Watch,
    check_alike,
    cohort_of,
    read_dice,
    read_metadata,
    read_reports,
    unusual_composition,
    unusual_volume,
)
from agg2exp_core.analysis.joining import matched, named
from agg2exp_core.analysis.outliers import LEAST_REFERENCE
from agg2exp_core.errors import StoreError, UsageError
from agg2exp_core.pipeline.settings import AnalyseSettings
from agg2exp_core.quality import read_quality
from agg2exp_core.store import Store, open_store

DOUBTS = ("entropy", "uncertainty", "low_confidence", "window_disagreement", "fragments")
"""What a stored prediction tells of its doubts, class by class; each grows with suspicion."""
DICE = ("soft_dice", "member_dice")
"""What it tells of its Dice, which falls with suspicion: the sign is one less it, named with ``_loss``."""
NO_DOUBTS = pd.DataFrame(columns=["scan", "class", "soft_dice", "n_voxels"])
"""What `QualityMap.predict` takes, without a row."""
_OF_REFERENCE = ("mass", "n_voxels", "volume_share")
"""Variables of its matrices that are looked at."""
_TEXTS = ("scan", "class", "roi", "word", "column")
"""Columns of tables that hold names."""


def evidence_of(settings: AnalyseSettings) -> Evidence:
    """Return what a store, its reference and the user's files hold.

    Raises
    ------
    UsageError
        If a file cannot be used, or has no scan of the store.
    StoreError
        If a store or its matrices are not there.
    """
    store = open_store(settings.store)
    local = store.importance(settings.label)
    other, reference, shared = None, None, frozenset[str]()
    same_model, reference_entropy = True, None
    if settings.reference is not None:
        other = open_store(settings.reference)
        reference = other.importance(settings.label, _OF_REFERENCE)
        shared = _shared(
            store, other, {*map(str, local["scan"].values)} & {*map(str, reference["scan"].values)}
        )
        same_model = _model(other) == _model(store)
        reference_entropy = _doubts(other, reference, ["entropy"]).get("entropy") if same_model else None
    names = [str(name) for name in local["target"].values]
    dice = local.get("dice")
    if settings.dice is not None:
        dice = read_dice(Path(settings.dice), names)
    reports = None if settings.reports is None else read_reports(Path(settings.reports))
    metadata = None if settings.metadata is None else read_metadata(Path(settings.metadata))
    known, watch = _before(store, settings.folder)
    evidence = Evidence(
        local=local,
        reference=reference,
        same_model=same_model,
        shared=shared,
        dice=dice,
        signs=_signs(store, local, local if reference is None else reference),
        reference_entropy=reference_entropy,
        metadata=metadata,
        reports=reports,
        known=known,
        watch=watch,
        **_predicted_dice(store, local, settings.quality),
    )
    if reference is not None:
        check_alike(cohort_of(local, "the store"), cohort_of(reference, "--reference"))
    return replace(evidence, told=_told(evidence, settings.partial))


def _told(evidence: Evidence, partial: bool) -> dict[str, list[str]]:
    """Return what of the user's files belongs to the store; refuse files of other scans."""
    scans = evidence.local["scan"].values.tolist()
    dice, metadata, reports = evidence.dice, evidence.metadata, evidence.reports
    files = {
        "--dice": None if dice is None else dice["scan"].values.tolist(),
        "--metadata": None if metadata is None else metadata.index.tolist(),
        "--reports": reports,
    }
    told = {
        option: [matched(option, ids, scans, partial=partial)]
        for option, ids in files.items()
        if ids is not None
    }
    if dice is not None:
        told["--dice"] += [f"column {name} left out: of no class" for name in dice.attrs.get("not_read", [])]
        lacking = set(evidence.local["target"].values.tolist()) - set(dice["target"].values.tolist())
        told["--dice"] += [f"no Dice of {named(lacking)}"] if lacking else []
    return told


def _model(store: Store) -> str | None:
    return None if store.model is None else str(store.model["fingerprint"])


def _shared(store: Store, other: Store, scans: set[str]) -> frozenset[str]:
    """Return which of the scans, whose ids both stores have, are the same: of one content, where known."""
    hashes = {scan: [part.scan(scan).content_hash() for part in (store, other)] for scan in scans}
    return frozenset(scan for scan, (a, b) in hashes.items() if a is None or b is None or a == b)


def _signs(store: Store, local: xr.Dataset, reference: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return the simple signs of poor segmentations (scan, target) that the store holds."""
    signs = {
        f"{name}_loss" if name in DICE else name: 1 - sign if name in DICE else sign
        for name, sign in _doubts(store, local, (*DICE, *DOUBTS)).items()
    }
    volume, normal = _volumes(local), _volumes(reference)
    if volume is not None and normal is not None:
        signs["volume"] = unusual_volume(volume, normal)
        if normal.sizes["scan"] >= LEAST_REFERENCE:
            signs["composition"] = unusual_composition(volume, normal)
    return signs


def _doubts(store: Store, local: xr.Dataset, names: Sequence[str]) -> dict[str, xr.DataArray]:
    """Return how unsure the model was of each class (scan, target), as far as the predictions tell it."""
    scans, targets = local["scan"].values.tolist(), local["target"].values.tolist()
    told = store.doubts(scans)
    doubts = {}
    for name in names:
        if any(name in doubt for doubt in told):
            rows = [[doubt.get(name, {}).get(target, np.nan) for target in targets] for doubt in told]
            doubts[name] = xr.DataArray(rows, {"scan": scans, "target": targets}, ("scan", "target"))
    return doubts


def _predicted_dice(store: Store, local: xr.Dataset, quality: str | None) -> dict[str, Any]:
    """Return the Dice that calibration predicts of the scans, and which of them lack what that needs."""
    if quality is None:
        return {}
    learnt = read_quality(Path(quality))
    if (own := _model(store)) != learnt.model:
        raise UsageError(
            "--quality",
            got=f"{quality}, learnt of {learnt.model_name}",
            allowed=f"that of the store's model ({'not known' if own is None else own[:12]})",
            remedy="calibrate the model that segmented these scans",
        )
    doubts = _doubts(store, local, ("soft_dice", "n_voxels"))
    scans = local["scan"].values.tolist()
    if "soft_dice" not in doubts:
        return {"predicted": learnt.predict(NO_DOUBTS), "not_predicted": tuple(scans)}
    frame = xr.Dataset(doubts).to_dataframe().reset_index().rename(columns={"target": "class"})
    frame = frame[list(NO_DOUBTS)].dropna()
    told = set(frame["scan"])
    lacking = tuple(scan for scan in scans if scan not in told)
    return {"predicted": learnt.predict(frame), "not_predicted": lacking}


def _volumes(local: xr.Dataset) -> xr.DataArray | None:
    """Return the size of each class (scan, target): voxels, or shares of the scan."""
    name = next((name for name in ("n_voxels", "volume_share") if name in local), None)
    both = [target for target in local["target"].values if target in local["roi"].values]
    if name is None or "scan" not in local[name].dims or not both:
        return None
    return local[name].sel(roi=both).rename(roi="target").drop_vars("roi_kind").astype(np.float64)


def _before(store: Store, folder: str) -> tuple[frozenset[str], Watch | None]:
    """Return the scans and the looks for drift of the analysis before."""
    files = files_of(store, folder)
    known: frozenset[str] = frozenset()
    watch = None
    if "scans.csv" in files:
        known = frozenset(read_table(store, folder, "scans")["scan"])
    if "drift.json" in files:
        watch = Watch.from_json(json.loads(store.read_file(f"{folder}/drift.json")))
    return known, watch


def files_of(store: Store, folder: str) -> list[str]:
    """Return the files of the findings in a folder; none where there are no findings."""
    return list(read_summary(store, folder).get("files", []))


def read_summary(store: Store, folder: str) -> dict[str, Any]:
    """Return what the findings in a folder say of the analysis as a whole; empty where there are none."""
    try:
        summary: dict[str, Any] = json.loads(store.read_file(f"{folder}/summary.json"))
    except StoreError:
        return {}
    return summary


def read_table(store: Store, folder: str, name: str) -> pd.DataFrame:
    """Return a table of the findings; a scan or a word may be called ``NA`` or ``007``."""
    content = io.BytesIO(store.read_file(f"{folder}/{name}.csv"))
    return pd.read_csv(content, dtype=dict.fromkeys(_TEXTS, str), keep_default_na=False, na_values=[""])
