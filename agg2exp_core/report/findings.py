"""The sections of a cohort's page that follow from its analyses; each says what it lacks."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from agg2exp_core.report.charts import benchmark_chart
from agg2exp_core.report.inputs import Analyses
from agg2exp_core.report.matrices import difference_chart
from agg2exp_core.report.scans import n_scans
from agg2exp_core.report.sections import Chart, Column, DataTable, Missing, Picture, Section, shown

_MOST_ROWS = 60
_CLASS = Column("class", "Class", "class")
_P = (Column("p_value", "p", "p"), Column("p_adjusted", "Adjusted p", "p"))


def drift_section(analyses: Analyses) -> Section:
    """Return whether the scans still resemble the reference."""
    comparison, drift = analyses.table("comparison"), analyses.documents.get("drift")
    if comparison is None and not drift:
        return Section("drift", "Drift", missing=analyses.why_missing("drift", "--reference REFERENCE"))
    text, charts, tables = [], [], []
    if drift:
        looks, n_waiting = pd.DataFrame(drift["looks"]), len(drift["waiting"])
        if len(looks):
            looks["scans"] = looks["scans"].map(len)
            said = "raised an alarm" if looks["alarm"].iloc[-1] else "raised no alarm"
            text.append(
                f"The last check of new scans {said}: p = {shown(looks['p_value'].iloc[-1], 'p')}. "
                "A check raises a false alarm with a probability of at most "
                f"{shown(drift['false_alarm_rate'], 'share')}."
            )
            looks.insert(0, "look", range(1, len(looks) + 1))
            columns = [
                Column("look", "Check"),
                Column("scans", "Scans", "count"),
                Column("energy", "Energy distance", "number"),
                Column("p_value", "p", "p"),
                Column("alarm", "Alarm", "flag"),
            ]
            tables.append(DataTable("Checks for drift, oldest first", columns, looks))
        text.append(f"{n_scans(n_waiting)} wait{'s' if n_waiting == 1 else ''} for the next check.")
    distance = analyses.documents.get("distance")
    if distance:
        text.append(
            f"All {distance['n_first']} scans compared with the {distance['n_second']} of the reference: "
            f"energy distance {shown(distance['energy'], 'number')}, p = {shown(distance['p_value'], 'p')}."
        )
    if comparison is not None:
        text.append(
            "The chart shows where the mean shares differ; a dot marks a difference that a permutation test "
            "finds (adjusted p < 0.05)."
        )
        charts = [
            Chart(difference_chart(comparison), "Difference of mean shares: these scans minus the reference")
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
            Column("sign", "Sign of a poor segmentation"),
            Column("unit", "By"),
            Column("n", "Cases", "count"),
            Column("n_poor", "Poor", "count"),
            Column("auroc", "AUROC", "number"),
            Column("auroc_low", "from", "number"),
            Column("auroc_high", "to", "number"),
            Column("aurc", "AURC", "number"),
            Column("aurc_best", "Best AURC", "number"),
            Column("aurc_random", "AURC of chance", "number"),
        ]
        tables.append(
            DataTable(
                "Finding poor segmentations. AUROC: area under the ROC curve, higher is better; AURC: area "
                "under the risk-coverage curve, lower is better",
                columns,
                detection,
            )
        )
    if agreement is not None:
        columns = [_CLASS, Column("n", "Scans", "count"), Column("spearman", "Spearman", "number"), *_P]
        tables.append(DataTable("Rank correlation of score and Dice", columns, agreement))
    text = [
        "A useful score is high where the segmentation is poor: its rank correlation with Dice is negative.",
        *analyses.told("--dice"),
    ]
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
    text = [
        "Whether flagged scans differ from the others in the patients' metadata, or in the words of their "
        "radiology reports.",
        *analyses.told("--metadata", "--reports"),
    ]
    return Section("patients", "Metadata and reports", text=text, tables=tables)


def benchmark_section(summary: pd.DataFrame | None) -> Section:
    """Return the benchmark of attribution methods: mean and standard deviation over scans and classes."""
    if summary is None or summary.empty:
        return Section(
            "benchmark",
            "Benchmark of methods",
            missing=Missing(
                "no benchmark of attribution methods was run on these scans",
                "agg2exp benchmark SCANS --model MODEL --out STORE",
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


def pictures_section(pictures: Sequence[Picture]) -> Section:
    """Return the pictures of a scan of the run, and those that the analyses drew."""
    if not pictures:
        missing = Missing("no analysis drew any", "agg2exp analyse STORE")
        return Section("pictures", "Pictures", missing=missing)
    return Section("pictures", "Pictures", pictures=pictures)
