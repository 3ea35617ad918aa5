"""All analyses of a store's matrices, as tables and documents by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, TypeVar

import numpy as np
import pandas as pd
import xarray as xr
from pydantic import Field

from agg2exp_core.analysis.agreement import agreement
from agg2exp_core.analysis.clusters import cluster_classes
from agg2exp_core.analysis.cohort import Cohort, check_alike, cohort_of
from agg2exp_core.analysis.cohort_comparison import compare_entries, energy_distance
from agg2exp_core.analysis.context import context, normal_range
from agg2exp_core.analysis.detection import detection, trust
from agg2exp_core.analysis.drift import Watch, look_again
from agg2exp_core.analysis.groups import comparable, compare_groups
from agg2exp_core.analysis.joining import named
from agg2exp_core.analysis.outliers import OutlierSettings, find_outliers, find_uncertain, score_left_out
from agg2exp_core.analysis.reasons import reasons, training_candidates
from agg2exp_core.analysis.report_terms import compare_terms
from agg2exp_core.analysis.statistics import TooFewError
from agg2exp_core.analysis.triage import triage
from agg2exp_core.settings import Flag, Real

T = TypeVar("T")
N_NAMED = 10
"""Scans that the summary names: of those to look at first, and of those without a predicted Dice."""
DEFAULT_POOR = 0.85
"""Dice under which a segmentation counts as poor for the coverage of bounds, unless another is given."""
LEAST_SHARED = 3
"""Scans that two models must both have explained to be compared in pairs."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of a cohort.

    Parameters
    ----------
    local : Dataset with dimensions (scan, target, roi)
        Its matrices.
    reference : Dataset with dimensions (scan, target, roi), optional
        Those of a cohort that it should resemble.
    same_model : bool
        Whether one model made both.
    shared : frozenset of str
        Scans of the cohort that the reference holds too; another scan may have the id of one.
    dice : DataArray with dimensions (scan, target), optional
        Quality of the segmentations.
    signs : mapping of str to DataArray with dimensions (scan, target)
        What else may tell poor segmentations; each grows with suspicion. By ``entropy`` (nats) scans with
        an unusually uncertain prediction are flagged.
    reference_entropy : DataArray with dimensions (scan, target), optional
        Of the reference's predictions.
    metadata : DataFrame indexed by scan, optional
        Of the patients.
    reports : mapping of str to str, optional
        Texts by scan.
    known : frozenset of str
        Scans of the analysis before.
    watch : Watch, optional
        Looks for drift so far.
    told : mapping of str to sequence of str
        What of a file was used and what not, by the option that named it.
    predicted : DataFrame, optional
        Dice that calibration predicts, a row per scan and class: `scan`, `class`, `dice`, `lower`, `usual`,
        `outside`.
    not_predicted : tuple of str
        Scans of which the store knows too little for that.
    """

    local: xr.Dataset
    reference: xr.Dataset | None = None
    same_model: bool = True
    shared: frozenset[str] = frozenset()
    dice: xr.DataArray | None = None
    signs: Mapping[str, xr.DataArray] = field(default_factory=dict)
    reference_entropy: xr.DataArray | None = None
    metadata: pd.DataFrame | None = None
    reports: Mapping[str, str] | None = None
    known: frozenset[str] = frozenset()
    watch: Watch | None = None
    told: Mapping[str, Sequence[str]] = field(default_factory=dict)
    predicted: pd.DataFrame | None = None
    not_predicted: tuple[str, ...] = ()


class AnalysisSettings(OutlierSettings):
    """How a cohort is analysed.

    Raises
    ------
    UsageError
        If a number is out of range, or there is no such detector.
    """

    poor: Annotated[Real | None, Field(gt=0, lt=1), Flag("--poor")] = None
    """Dice under which a segmentation is poor; by default the lowest fifth is."""
    false_alarm_rate: Annotated[Real, Field(gt=0, lt=1), Flag("--false-alarms")] = 0.01
    """Of a look for drift."""


@dataclass(eq=False)
class Findings:
    """What the analyses say; `docs/analyses.md` describes every table and document.

    Parameters
    ----------
    tables : dict of str to DataFrame
    documents : dict of str to JSON-ready value
    skipped : dict of str to str
        Analyses that were left out, and why: an option was not given, or there is too little.
    told : dict of str to list of str
        What of the evidence was used and what not, by the option that named it.
    """

    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    documents: dict[str, Any] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    told: dict[str, list[str]] = field(default_factory=dict)

    def attempt(self, name: str, analysis: Callable[[], T]) -> T | None:
        """Return what an analysis says, or None where there is too little, with the reason kept."""
        try:
            return analysis()
        except TooFewError as error:
            self.skipped[name] = str(error)
            return None


def analyse(evidence: Evidence, settings: AnalysisSettings) -> Findings:
    """Make every analysis that the evidence allows.

    Raises
    ------
    UsageError
        If the matrices are no compositions, the reference has other classes, or a table has no scan of
        the store.
    """
    found, seed = Findings(told={option: [*said] for option, said in evidence.told.items()}), settings.seed
    found.skipped |= _not_given(evidence)
    cohort = cohort_of(evidence.local, "the store")
    reference, pairs = _beside(cohort, evidence)
    normal = cohort if reference is None else reference
    found.tables["context"] = _contexts(cohort, reference)
    found.tables["normal"] = normal_range(normal)
    found.told |= _without_attribution(evidence.local)
    outliers = found.attempt("outliers", lambda: _score(cohort, reference, settings))
    if outliers is None:
        told = {
            "unsure": None,
            "groups": evidence.metadata,
            "words": evidence.reports,
            "agreement": evidence.dice,
        }
        found.skipped |= {
            name: "needs scores (see outliers)" for name, given in told.items() if given is not None
        }
    else:
        outliers = outliers.merge(_uncertain(cohort, reference, evidence, settings.rate))
        _tell_outliers(found, outliers, reasons(cohort, normal), evidence.known)
        _tell_patients(found, outliers, evidence, seed)
    if evidence.predicted is not None:
        _tell_triage(found, evidence.predicted, evidence.not_predicted)
    if evidence.dice is not None:
        _tell_quality(found, outliers, evidence, settings.poor)
    other = reference if pairs is None else pairs
    if other is not None:
        found.attempt("comparison", lambda: _compare(found, cohort, other, pairs is not None, seed))
    if reference is None and evidence.reference is not None:
        found.skipped |= _no_other_scans(paired=pairs is not None)
    if reference is not None:
        rate = settings.false_alarm_rate
        watch = found.attempt(
            "drift", lambda: look_again(evidence.watch, cohort, reference, rate, seed).to_json()
        )
        found.documents |= {} if watch is None else {"drift": watch}
    tree = found.attempt("clusters", lambda: cluster_classes(cohort.mean()).to_json())
    found.documents |= {} if tree is None else {"clusters": tree}
    found.documents["summary"] = {
        "n_scans": len(cohort.scans),
        "n_reference": 0 if reference is None else len(reference.scans),
        "paired": pairs is not None,
        **settings.model_dump(include=set(OutlierSettings.model_fields)),
        "n_flagged": None if outliers is None else int(outliers["flagged"].sum()),
        "n_unsure": None if outliers is None else int(outliers["unsure"].sum()),
        "n_new": len(set(cohort.scans) - evidence.known),
        "drift": _alarm(found.documents.get("drift"), evidence.watch),
        "triage": _first(found.tables.get("triage")),
        "skipped": found.skipped,
        "told": found.told,
    }
    return found


def _not_given(evidence: Evidence) -> dict[str, str]:
    """Return the analyses that lack their input."""
    needs = {
        "--reference": (evidence.reference, ("comparison", "drift")),
        "--dice": (evidence.dice, ("quality", "agreement", "detection")),
        "--metadata": (evidence.metadata, ("groups",)),
        "--reports": (evidence.reports, ("words",)),
    }
    left_out = {
        name: f"without {option}"
        for option, (given, names) in needs.items()
        if given is None
        for name in names
    }
    if "entropy" not in evidence.signs:
        left_out["unsure"] = "the store holds no entropy of its predictions"
    return left_out


def _no_other_scans(*, paired: bool) -> dict[str, str]:
    if paired:
        return {"drift": "the reference holds the same scans by another model: they are compared in pairs"}
    reason = "all scans of the reference are scans of the store: these are compared with each other"
    return dict.fromkeys(("comparison", "drift"), reason)


def _without_attribution(local: xr.Dataset) -> dict[str, list[str]]:
    """Return in words which classes were found and explained, by an attribution of zeros alone."""
    if "norm" not in local:
        return {}
    empty = local["norm"].transpose("scan", "target").values == 0
    rows = [f"{local['scan'].values[n]}: {local['target'].values[a]}" for n, a in np.argwhere(empty)]
    said = (
        f"{len(rows)} rows are empty, since the attribution of the class is zero everywhere ({named(rows)})"
    )
    return {"matrices": [said]} if rows else {}


def _beside(cohort: Cohort, evidence: Evidence) -> tuple[Cohort | None, Cohort | None]:
    """Return the reference for scores and drift, and the same scans as another model explains them."""
    if evidence.reference is None:
        return None, None
    reference = cohort_of(evidence.reference, "--reference")
    check_alike(cohort, reference)
    if not evidence.same_model and len(evidence.shared) >= LEAST_SHARED:
        return None, reference.subset(set(evidence.shared))
    rest = reference.subset(set(reference.scans) - evidence.shared)
    return (rest if rest.scans else None), None


def _contexts(cohort: Cohort, reference: Cohort | None) -> pd.DataFrame:
    frames = [context(cohort, "store")]
    if reference is not None:
        frames.append(context(reference, "reference"))
    return pd.concat(frames, ignore_index=True)


def _score(cohort: Cohort, reference: Cohort | None, settings: OutlierSettings) -> xr.Dataset:
    if reference is None:
        return score_left_out(cohort, settings)
    return find_outliers(cohort, reference, settings)


def _uncertain(cohort: Cohort, reference: Cohort | None, evidence: Evidence, rate: float) -> xr.Dataset:
    """Return which scans have an unusually uncertain prediction; none where entropies are not known."""

    def entropies(of: Cohort, known: xr.DataArray | None) -> xr.DataArray:
        if known is None:
            coordinates = {"scan": list(of.scans), "target": list(of.targets)}
            return xr.DataArray(np.nan, coordinates, ("scan", "target"))
        return known.sel(scan=list(of.scans))

    theirs = None if reference is None else entropies(reference, evidence.reference_entropy)
    return find_uncertain(entropies(cohort, evidence.signs.get("entropy")), theirs, rate)


def _tell_outliers(found: Findings, outliers: xr.Dataset, why: pd.DataFrame, known: frozenset[str]) -> None:
    scans, rate = outliers["scan"].values, outliers.attrs["rate"]
    n_classes = outliers["score"].notnull().sum("target").values
    found.tables["scans"] = pd.DataFrame(
        {
            "scan": scans,
            "score": outliers["score_all"].values,
            "p_value": outliers["p_all"].values,
            "flagged": outliers["flagged"].values,
            "entropy": outliers["entropy"].values,
            "p_entropy": outliers["p_entropy"].values,
            "unsure": outliers["unsure"].values,
            "new": [scan not in known for scan in scans],
            "n_classes": n_classes,
            "n_absent": outliers.sizes["target"] - n_classes,
        }
    ).sort_values(["p_value", "score", "scan"], ascending=[True, False, True], ignore_index=True)
    by_class = outliers[["score", "p_value"]].to_dataframe().dropna().reset_index()
    by_class = by_class.rename(columns={"target": "class"})
    found.tables["outliers"] = by_class.assign(flagged=by_class["p_value"] <= rate)
    found.tables["reasons"] = why
    found.tables["candidates"] = training_candidates(outliers, why)


def _tell_triage(found: Findings, predicted: pd.DataFrame, not_predicted: tuple[str, ...]) -> None:
    listed = triage(predicted, found.tables.get("reasons"))
    found.tables["predicted_dice"] = predicted.rename(columns={"dice": "predicted_dice"}).drop(
        columns="usual"
    )
    found.tables["triage"] = listed
    if "candidates" in found.tables:
        sentences = listed.set_index("scan")["sentence"]
        candidates = found.tables["candidates"]
        found.tables["candidates"] = candidates.assign(quality=candidates["scan"].map(sentences))
    if not_predicted:
        more = ", …" * (len(not_predicted) > N_NAMED)
        found.skipped["predicted_dice"] = (
            f"{len(not_predicted)} scans have no soft Dice ({', '.join(not_predicted[:N_NAMED])}{more}): an "
            "earlier release segmented them; explain them into a new store"
        )


def _first(listed: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Return the scans to look at first."""
    if listed is None:
        return []
    shown = listed[["scan", "class", "sentence", "why"]].head(N_NAMED)
    return [{str(name): value for name, value in row.items()} for row in shown.to_dict("records")]


def _tell_patients(found: Findings, outliers: xr.Dataset, evidence: Evidence, seed: int) -> None:
    flagged = dict(zip(outliers["scan"].values.tolist(), outliers["flagged"].values.tolist(), strict=True))
    if evidence.metadata is not None:
        found.told.setdefault("--metadata", []).extend(comparable(evidence.metadata, set(flagged))[1])
        found.tables["groups"] = compare_groups(flagged, evidence.metadata, seed=seed)
    if evidence.reports is not None:
        found.tables["words"] = compare_terms(flagged, evidence.reports)
        texts = {scan: text for scan, text in evidence.reports.items() if flagged.get(scan)}
        found.documents["reports"] = texts


def _tell_quality(
    found: Findings, outliers: xr.Dataset | None, evidence: Evidence, poor: float | None
) -> None:
    assert evidence.dice is not None
    signs = dict(evidence.signs)
    if outliers is not None:
        signs = {"score": outliers["score"], **signs}
        found.tables["agreement"] = agreement(outliers["score"], evidence.dice)
    if evidence.predicted is not None and len(evidence.predicted):
        foretold = evidence.predicted.rename(columns={"class": "target"}).set_index(["scan", "target"])[
            "dice"
        ]
        signs["predicted_loss"] = 1 - xr.DataArray.from_series(foretold)
    if signs:
        found.tables["detection"] = detection(signs, evidence.dice, poor)
    if evidence.predicted is not None and len(evidence.predicted):
        found.tables["trust"] = trust(evidence.predicted, evidence.dice, poor or DEFAULT_POOR)
    columns = xr.Dataset({"dice": evidence.dice, **signs}).to_dataframe().reset_index()
    known = columns[columns["dice"].notna()].rename(columns={"target": "class"})
    found.tables["quality"] = known[["scan", "class", "dice", *signs]].reset_index(drop=True)


def _compare(found: Findings, cohort: Cohort, other: Cohort, paired: bool, seed: int) -> None:
    found.tables["comparison"] = compare_entries(cohort, other, paired=paired, seed=seed)
    found.documents["distance"] = asdict(energy_distance(cohort, other, paired=paired, seed=seed))


def _alarm(now: dict[str, Any] | None, before: Watch | None) -> bool | None:
    """Say whether the look of this analysis raised an alarm; None where none was made."""
    if now is None or not now["looks"]:
        return None
    n_before = len(before.looks) if before is not None and before.reference == now["reference"] else 0
    return bool(now["looks"][-1]["alarm"]) if len(now["looks"]) > n_before else None
