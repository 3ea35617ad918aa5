"""The sections of a cohort's page that list its scans: how they fared, which are abnormal, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from agg2exp_core.labels import readable
from agg2exp_core.pipeline.outcomes import ScanOutcome
from agg2exp_core.report.charts import scores_chart
from agg2exp_core.report.inputs import Analyses
from agg2exp_core.report.sections import Chart, Column, DataTable, Section, shown

_MOST_ROWS = 2000
"""Of reasons and candidates."""
MOST_SCANS = 500
"""That a page lists, or draws one by one, beside those that want a look."""
N_FIRST = 20
"""Scans that the first section names."""


def wanted_scans(analyses: Analyses) -> set[str]:
    """Return the scans that are abnormal, unsure or new; where all are new, that says nothing."""
    scans = analyses.table("scans")
    if scans is None:
        return set()
    is_new = scans["new"] if not scans["new"].all() else False
    return set(scans.loc[scans["flagged"] | scans["unsure"] | is_new, "scan"])


def first_section(analyses: Analyses, pages: Mapping[str, str]) -> Section:
    """Return which scans to look at first, which organ, and why: the start of the page."""
    title = "Which scans first"
    scans, reasons = analyses.table("scans"), analyses.table("reasons")
    if scans is None or reasons is None:
        missing = analyses.why_missing("outliers")
        return Section("first", title, text=["No scan is ranked, so begin with any."], missing=missing)
    chosen = scans[scans["flagged"].eq(True) | scans["unsure"].eq(True)].sort_values(
        ["flagged", "score"], ascending=False
    )
    if chosen.empty:
        return Section("first", title, text=[f"None of {n_scans(len(scans))} stands out; begin with any."])
    why = reasons.groupby("scan", sort=False).first().reindex(chosen["scan"])
    unsure = "the prediction is unusually uncertain"
    rows = pd.DataFrame(
        {
            "scan": chosen["scan"],
            "organ": np.where(chosen["flagged"], why["class"].map(readable, na_action="ignore"), "any"),
            "why": [
                "; ".join([reason] * bool(flagged) + [unsure] * bool(is_unsure))
                for reason, flagged, is_unsure in zip(
                    why["sentence"].fillna("its shares are unusual"),
                    chosen["flagged"],
                    chosen["unsure"],
                    strict=True,
                )
            ],
        }
    )
    columns = [Column("scan", "Scan"), Column("organ", "Organ"), Column("why", "Why")]
    rest = len(rows) - N_FIRST
    text = f"Look at {n_scans(len(rows))} of {len(scans)} first, in this order."
    text += f" The table of all scans holds {rest} more." if rest > 0 else ""
    table = DataTable("The first reason of each", columns, rows.head(N_FIRST), links=pages)
    return Section("first", title, text=[text], tables=[table])


def scans_section(
    scan_ids: Sequence[str],
    failures: Mapping[str, str],
    analyses: Analyses,
    pages: Mapping[str, str],
    outcomes: Sequence[ScanOutcome],
    remarks: Mapping[str, str],
) -> Section:
    """Return the scans: those that a run could not explain, then abnormal ones, each with the main reason.

    Parameters
    ----------
    scan_ids : sequence of str
        Scans with matrices.
    failures : mapping of str to str
        Why scans could not be explained.
    analyses : Analyses
    pages : mapping of str to str
        Address of each scan's page, where there is one.
    outcomes : sequence of ScanOutcome
        How the scans of a run fared; none for a report of the store as it is.
    remarks : mapping of str to str
        What is doubtful about scans, as the store tells it.
    """
    told = {outcome.scan_id: outcome for outcome in outcomes}
    failures = {**failures, **{o.scan_id: o.reason for o in outcomes if o.status != "done"}}
    rows = pd.DataFrame({"scan": list(dict.fromkeys([*scan_ids, *failures, *told]))})
    columns, text, charts = [Column("scan", "Scan")], [], []
    if outcomes:
        columns += [Column("outcome", "This run"), Column("n_classes", "Classes", "count")]
        columns += [Column("seconds", "Seconds", "number")]
        rows = rows.merge(_run_table(outcomes), on="scan", how="left")
        text.append(_run_text(outcomes))
    scores = analyses.table("scans")
    if scores is not None:
        rows = rows.merge(scores.drop(columns="n_classes", errors="ignore"), on="scan", how="left")
        rows["flagged"], rows["unsure"] = rows["flagged"].eq(True), rows["unsure"].eq(True)
        rows = rows.sort_values(["flagged", "unsure", "score"], ascending=False, na_position="last")
        columns += [Column("flagged", "Abnormal", "flag"), Column("score", "Score", "number")]
        columns += [Column("p_value", "p", "p")]
        if scores["entropy"].notna().any():
            columns += [Column("unsure", "Uncertain", "flag"), Column("entropy", "Entropy, nats", "number")]
        text += analyses.told("matrices")
        text += _scores_text(scores, analyses.summary, len(set(scan_ids) - set(scores["scan"])))
        linked = scores.assign(page=[pages.get(scan, "") for scan in scores["scan"]])
        every = -(-len(linked) // MOST_SCANS)
        said = "" if every == 1 else f"; of those that are not flagged, one of {every}"
        charts = [Chart(scores_chart(linked, every), f"Scores of scans, the most abnormal first{said}")]
    is_undone = [scan in told and told[scan].status != "done" for scan in rows["scan"]]
    rows = rows.assign(is_undone=is_undone).sort_values("is_undone", ascending=False, kind="stable")
    n_all = len(rows)
    is_wanted = rows["is_undone"] | rows["scan"].isin(wanted_scans(analyses))
    rows = rows[is_wanted | (np.arange(n_all) < MOST_SCANS)]
    why = _reasons(analyses, rows)
    remarks = {**remarks, **{o.scan_id: o.reason for o in outcomes if o.status == "done"}}
    rows["reason"] = [
        f"not explained: {failures[scan]}"
        if scan in failures
        else "; ".join(filter(None, (why.get(scan), remarks.get(scan))))
        for scan in rows["scan"]
    ]
    columns += [Column("reason", "Reason")]
    caption = "All scans" if len(rows) == n_all else f"{len(rows)} of {n_scans(n_all)}"
    caption += "; a name leads to the page of the scan" if pages else ""
    if len(rows) < n_all:
        text.append(
            f"The table shows {len(rows)} of {n_scans(n_all)}: all that are abnormal, uncertain or new, or "
            f"could not be explained, and others up to {MOST_SCANS}. The store's analysis/<label>/scans.csv "
            "lists all, and agg2exp report STORE --scan ID writes the page of any."
        )
    missing = None if scores is not None else analyses.why_missing("outliers")
    table = DataTable(caption, columns, rows, links=pages)
    return Section("scans", "Scans", text=text, charts=charts, tables=[table], missing=missing)


def _run_table(outcomes: Sequence[ScanOutcome]) -> pd.DataFrame:
    rows = [(o.scan_id, o.status.replace("done", "explained"), o.n_classes, o.seconds) for o in outcomes]
    return pd.DataFrame(rows, columns=["scan", "outcome", "n_classes", "seconds"])


def _run_text(outcomes: Sequence[ScanOutcome]) -> str:
    n_failed = sum(outcome.status != "done" for outcome in outcomes)
    explained = f"This run explained {len(outcomes) - n_failed} of {n_scans(len(outcomes))}."
    if not n_failed:
        return explained
    return f"{explained} {n_scans(n_failed)} could not be explained: the table begins with them and says why."


def n_scans(n: int) -> str:
    """Return a number of scans in words."""
    return f"{n} scan{'' if n == 1 else 's'}"


def _scores_text(scores: pd.DataFrame, summary: Mapping[str, object], n_later: int) -> list[str]:
    n, n_flagged, n_unsure = len(scores), int(scores["flagged"].sum()), int(scores["unsure"].sum())
    reference = summary.get("n_reference")
    usual = f"in a reference of {reference} scans" if reference else "in the other scans"
    text = [
        f"The model handled {n_flagged} of {n_scans(n)} abnormally: where its attributions lie differs most "
        f"from what is usual {usual}. No ground truth is needed for this. About "
        f"{shown(summary.get('rate'), 'share')} of normal scans are flagged too. A higher score is more "
        f"abnormal (detector: {summary.get('detector')})."
    ]
    if scores["entropy"].notna().any():
        text.append(
            f"The prediction is unusually uncertain in {n_unsure} of {n_scans(n)}: its mean entropy is high "
            f"compared with what is usual {usual}. The segmentation may be poor there."
        )
    if n_later:
        text.append(f"Still without a score: {n_scans(n_later)} that came after the last analysis.")
    return text


def _reasons(analyses: Analyses, rows: pd.DataFrame) -> dict[str, str]:
    """Return the main reason of each scan that is flagged or uncertain."""
    reasons = analyses.table("reasons")
    if reasons is None or "flagged" not in rows:
        return {}
    first = reasons.groupby("scan", sort=False)["sentence"].first().to_dict()
    unsure = dict.fromkeys(rows.loc[rows["unsure"], "scan"], "the prediction is unusually uncertain")
    return unsure | {scan: first.get(scan, "") for scan in rows.loc[rows["flagged"], "scan"]}


def triage_section(analyses: Analyses, pages: Mapping[str, str]) -> list[Section]:
    """Return which scans to look at first; nothing where no Dice is predicted."""
    listed = analyses.table("triage")
    if listed is None or listed.empty:
        return []
    columns = [
        Column("scan", "Scan"),
        Column("predicted_dice", "Predicted Dice, mean", "number"),
        Column("sentence", "The class that falls shortest"),
        Column("why", "What is unusual"),
    ]
    text = [
        "The Dice that each segmentation probably has, predicted from how far the model itself doubts it. A "
        "bound holds for most poor segmentations of the kinds that calibration planted, not for all."
    ]
    table = DataTable("Scans by predicted Dice, the worst first", columns, listed, links=pages)
    return [Section("first", "Which scans first", text=text, tables=[table])]


def unusual_section(analyses: Analyses, pages: Mapping[str, str]) -> Section:
    """Return what is unusual about the flagged scans, and which to add to the training data."""
    scans, reasons = analyses.table("scans"), analyses.table("reasons")
    if scans is None or reasons is None:
        return Section("unusual", "What is unusual", missing=analyses.why_missing("outliers"))
    flagged = set(scans.loc[scans["flagged"].astype(bool), "scan"])
    columns = [
        Column("scan", "Scan"),
        Column("sentence", "What is unusual"),
        Column("share", "Share", "share"),
        Column("reference_median", "Usual", "share"),
        Column("deviation", "Deviation", "number"),
    ]
    tables = [
        DataTable(
            "Shares of flagged scans that differ most from the usual; deviation in robust standard "
            "deviations of the logarithm",
            columns,
            reasons[reasons["scan"].isin(flagged)].head(_MOST_ROWS),
            links=pages,
        )
    ]
    candidates = analyses.table("candidates")
    if candidates is not None:
        wanted = [Column("scan", "Scan"), Column("score", "Score", "number"), Column("reason", "Why")]
        rows = candidates.head(_MOST_ROWS)
        tables.append(DataTable("Scans worth adding to the training data", wanted, rows, links=pages))
    text = [] if flagged else ["No scan is flagged."]
    return Section("unusual", "What is unusual", text=text, tables=tables)
