"""The sections of a cohort's page that follow from its analyses; each says what it lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from agg2exp_core.report.analyses import Analyses
from agg2exp_core.report.charts import benchmark_chart, scores_chart
from agg2exp_core.report.matrix_charts import difference_chart
from agg2exp_core.report.sections import Chart, Column, DataTable, Missing, Picture, Section, shown

_MOST_ROWS = 60
_CLASS = Column("class", "Class", "class")
_P = (Column("p_value", "p", "p"), Column("p_adjusted", "Adjusted p", "p"))


def scans_section(
    scan_ids: Sequence[str], failures: Mapping[str, str], analyses: Analyses, pages: Mapping[str, str]
) -> Section:
    """Return the scans, those that the model handled abnormally first, with the main reason.

    Parameters
    ----------
    scan_ids : sequence of str
        Scans with matrices.
    failures : mapping of str to str
        Why scans could not be done.
    analyses : Analyses
    pages : mapping of str to str
        Address of each scan's page.
    """
    rows = pd.DataFrame({"scan": [*scan_ids, *(s for s in failures if s not in scan_ids)]})
    reasons = analyses.table("reasons")
    first = {} if reasons is None else reasons.groupby("scan", sort=False)["sentence"].first().to_dict()
    scores = analyses.table("scans")
    if scores is not None:
        rows = rows.merge(scores, on="scan", how="left").sort_values(
            ["flagged", "unsure", "score"], ascending=False, na_position="last"
        )
        rows["flagged"], rows["unsure"] = rows["flagged"].eq(True), rows["unsure"].eq(True)
        told = [
            first.get(scan, "") if flag else "the model is unsure of its segmentation" if unsure else ""
            for scan, flag, unsure in zip(rows["scan"], rows["flagged"], rows["unsure"], strict=True)
        ]
    else:
        told = [""] * len(rows)
    rows["reason"] = [
        f"not done: {failures[scan]}" if scan in failures else reason
        for scan, reason in zip(rows["scan"], told, strict=True)
    ]
    columns = [Column("scan", "Scan")]
    if scores is not None:
        columns += [
            Column("flagged", "Abnormal", "flag"),
            Column("score", "Score", "number"),
            Column("p_value", "p", "p"),
        ]
        if scores["entropy"].notna().any():
            columns += [Column("unsure", "Unsure", "flag"), Column("entropy", "Entropy, nats", "number")]
    columns += [Column("reason", "Reason")]
    charts = []
    text = []
    if scores is not None:
        summary = analyses.summary
        text.append(
            f"The model handled {int(scores['flagged'].sum())} of {len(scores)} scans abnormally: "
            f"their rows lie furthest from {_reference(summary)}. No ground truth is used. Of normal scans "
            f"about {shown(summary.get('rate'), 'share')} are flagged too. The score grows with abnormality "
            f"(detector: {summary.get('detector')})."
        )
        if scores["entropy"].notna().any():
            text.append(
                f"It is unusually unsure of {int(scores['unsure'].sum())} of {len(scores)} scans: the mean "
                "entropy of the prediction, a plain sign of poor segmentations, is high beside "
                f"{_reference(summary)}."
            )
        linked = scores.assign(page=[pages.get(scan, "") for scan in scores["scan"]])
        charts = [Chart(scores_chart(linked), "Scores of scans, the most abnormal first")]
    table = DataTable("All scans; the name leads to the page of the scan", columns, rows, links=pages)
    missing = None if scores is not None else analyses.why_missing("outliers")
    return Section("scans", "Scans", text=text, charts=charts, tables=[table], missing=missing)


def _reference(summary: Mapping[str, object]) -> str:
    n = summary.get("n_reference")
    return f"a reference of {n} scans" if n else "those of the other scans"


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
            "Entries of flagged scans that lie furthest from normal; deviation in robust standard deviations",
            columns,
            reasons[reasons["scan"].isin(flagged)],
            links=pages,
        )
    ]
    candidates = analyses.table("candidates")
    if candidates is not None:
        wanted = [Column("scan", "Scan"), Column("score", "Score", "number"), Column("reason", "Why")]
        tables.append(DataTable("Scans worth adding to the training data", wanted, candidates, links=pages))
    text = [] if flagged else ["No scan is flagged."]
    return Section("unusual", "What is unusual", text=text, tables=tables)


def drift_section(analyses: Analyses) -> Section:
    """Return whether the scans still resemble the reference."""
    comparison, drift = analyses.table("comparison"), analyses.documents.get("drift")
    if comparison is None and not drift:
        return Section("drift", "Drift", missing=analyses.why_missing("drift", "--reference REFERENCE"))
    text, charts, tables = [], [], []
    if drift:
        looks = pd.DataFrame(drift.get("looks", []))
        waiting = drift.get("waiting", [])
        if len(looks):
            looks["scans"] = [len(scans) if isinstance(scans, list) else scans for scans in looks["scans"]]
            said = "raised an alarm" if looks["alarm"].iloc[-1] else "raised no alarm"
            text.append(
                f"The last look at new scans {said}: p = {shown(looks['p_value'].iloc[-1], 'p')}. "
                "A look raises a false alarm with a probability of at most "
                f"{shown(drift.get('false_alarm_rate'), 'share')}."
            )
            looks.insert(0, "look", range(1, len(looks) + 1))
            columns = [
                Column("look", "Look"),
                Column("scans", "Scans", "count"),
                Column("energy", "Energy distance", "number"),
                Column("p_value", "p", "p"),
                Column("alarm", "Alarm", "flag"),
            ]
            tables.append(DataTable("Looks for drift, oldest first", columns, looks))
        n_waiting = len(waiting) if isinstance(waiting, list) else waiting
        text.append(f"{n_waiting} scans wait for the next look.")
    distance = analyses.documents.get("distance")
    if distance:
        text.append(
            f"All {distance['n_first']} scans beside the {distance['n_second']} of the reference: "
            f"energy distance {shown(distance['energy'], 'number')}, p = {shown(distance['p_value'], 'p')}."
        )
    if comparison is not None:
        text.append(
            "Below: where the means differ; a dot marks what a permutation test finds (adjusted p < 0.05)."
        )
        charts = [
            Chart(difference_chart(comparison), "Difference of mean shares: these scans less the reference")
        ]
        columns = [
            _CLASS,
            Column("roi", "Region", "class"),
            Column("mean_first", "These scans", "share"),
            Column("mean_second", "Reference", "share"),
            *_P,
        ]
        rows = comparison.sort_values(["p_adjusted", "p_value"]).head(_MOST_ROWS)
        tables.append(
            DataTable(f"The {len(rows)} entries that differ most clearly", columns, rows, is_open=False)
        )
    return Section("drift", "Drift", text=text, charts=charts, tables=tables)


def quality_section(analyses: Analyses) -> Section:
    """Return how well the scores find poor segmentations."""
    agreement, detection = analyses.table("agreement"), analyses.table("detection")
    if agreement is None and detection is None:
        return Section(
            "quality", "Agreement with quality", missing=analyses.why_missing("agreement", "--dice DICE.csv")
        )
    tables = []
    if detection is not None:
        columns = [
            Column("sign", "Sign"),
            Column("unit", "Unit"),
            Column("n", "Number", "count"),
            Column("n_poor", "Poor", "count"),
            Column("auroc", "AUROC", "number"),
            Column("aurc", "AURC", "number"),
            Column("aurc_best", "Best AURC", "number"),
            Column("aurc_random", "AURC of chance", "number"),
        ]
        tables.append(DataTable("Finding poor segmentations; AURC: lower is better", columns, detection))
    if agreement is not None:
        columns = [_CLASS, Column("n", "Scans", "count"), Column("spearman", "Spearman", "number"), *_P]
        tables.append(DataTable("Rank correlation of score and Dice", columns, agreement))
    text = ["The score grows with abnormality, so a negative correlation with Dice is what one hopes for."]
    return Section("quality", "Agreement with quality", text=text, tables=tables)


def patients_section(analyses: Analyses) -> Section:
    """Return whether flagged scans differ in metadata or in the words of their reports."""
    groups, words = analyses.table("groups"), analyses.table("words")
    if groups is None and words is None:
        needs = "--metadata METADATA.csv --reports REPORTS.json"
        return Section("patients", "Metadata and reports", missing=analyses.why_missing("groups", needs))
    tables = []
    if groups is not None:
        columns = [
            Column("column", "Column"),
            Column("test", "Test"),
            Column("flagged", "Flagged scans"),
            Column("other", "Other scans"),
            Column("effect", "Effect"),
            Column("effect_size", "Size", "number"),
            *_P,
        ]
        tables.append(DataTable("Metadata of flagged and other scans", columns, groups))
    if words is not None:
        columns = [
            Column("word", "Word"),
            Column("share_flagged", "Of flagged scans", "share"),
            Column("share_other", "Of others", "share"),
            *_P,
        ]
        rows = words.sort_values("p_value").head(_MOST_ROWS)
        tables.append(DataTable("Words of reports that differ most in frequency", columns, rows))
    return Section("patients", "Metadata and reports", tables=tables)


def benchmark_section(summary: pd.DataFrame | None) -> Section:
    """Return the benchmark of attribution methods: mean and standard deviation over scans and classes."""
    if summary is None or summary.empty:
        return Section(
            "benchmark",
            "Benchmark of methods",
            missing=Missing(
                "no methods were judged on these scans", "agg2exp benchmark SCANS --model MODEL --out STORE"
            ),
        )
    columns = [
        Column("method", "Method", "class"),
        Column("metric", "Metric", "class"),
        Column("direction", "Better"),
        Column("mean", "Mean", "number"),
        Column("sd", "Standard deviation", "number"),
    ]
    return Section(
        "benchmark",
        "Benchmark of methods",
        charts=[Chart(benchmark_chart(summary), "Mean and standard deviation of each method, by metric")],
        tables=[DataTable("Benchmark of methods", columns, summary, is_open=False)],
    )


def pictures_section(pictures: Sequence[Picture], analyses: Analyses) -> Section:
    """Return the pictures that the analyses drew."""
    if not pictures:
        return Section(
            "pictures", "Pictures", missing=Missing("the analysis drew none", "agg2exp analyse STORE")
        )
    return Section("pictures", "Pictures", pictures=pictures)
