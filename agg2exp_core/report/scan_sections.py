"""The sections of a scan's page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from agg2exp_core.remarks import Remark
from agg2exp_core.report.charts import row_chart
from agg2exp_core.report.inputs import Analyses
from agg2exp_core.report.sections import Chart, Column, DataTable, Missing, Picture, Section, shown

TOO_FEW = "too few scans to say"
_FEWEST = 20
"""Scans from which a 5th and a 95th percentile can be taken."""
_DEVIATION = (
    "Shares that differ most from the usual; deviation in robust standard deviations of the logarithm"
)
_QUANTILES = {"q05": 0.05, "median": 0.5, "q95": 0.95}


def range_over_scans(local: xr.Dataset) -> pd.DataFrame:
    """Return median, 5th and 95th percentile of each share over scans.

    Parameters
    ----------
    local : Dataset, dims (scan, target, roi)
        Local importance.

    Returns
    -------
    DataFrame
        Columns ``class``, ``roi``, ``n``, ``q05``, ``median``, ``q95``.
    """
    mass = local["mass"]
    parts = {
        name: mass.quantile(share, "scan", skipna=True).drop_vars("quantile")
        for name, share in _QUANTILES.items()
    }
    frame = xr.Dataset({"n": mass.count("scan"), **parts}).to_dataframe().reset_index()
    return pd.DataFrame(frame.rename(columns={"target": "class"})[["class", "roi", "n", *_QUANTILES]])


def rows_beside(mass: xr.DataArray, normal: pd.DataFrame) -> pd.DataFrame:
    """Return the shares of a scan ``(target, roi)`` beside the normal range, and where they lie in it."""
    shares = mass.rename("share").to_dataframe()["share"].rename_axis(["class", "roi"]).reset_index()
    rows = shares.dropna(subset="share").merge(normal, on=["class", "roi"], how="left")
    cases = [~(rows["n"] >= _FEWEST), rows["share"] > rows["q95"], rows["share"] < rows["q05"]]
    rows["place"] = np.select(cases, [TOO_FEW, "above", "below"], "in the range")
    return rows


def row_section(rows: pd.DataFrame, source: str) -> Section:
    """Return where the attribution of the chosen class lies, beside the normal range.

    Parameters
    ----------
    rows : DataFrame
        As `rows_beside` makes them.
    source : str
        What the range was made from.
    """
    columns = [
        Column("roi", "Region", "class"),
        Column("explained", "Explained class", "class"),
        Column("share", "This scan", "share"),
        Column("q05", "5th percentile", "share"),
        Column("median", "Median", "share"),
        Column("q95", "95th percentile", "share"),
        Column("place", "Position"),
    ]
    return Section(
        "row",
        "Where the model looked",
        text=[
            "Shares of the attribution of the chosen class by region. The pale bar spans the 5th to the 95th "
            f"percentile, its mark the median, over {source}; the dot is this scan. One entry in ten lies "
            f"outside its bar by chance; with fewer than {_FEWEST} scans the bar says little."
        ],
        charts=[Chart(row_chart(rows), "Shares of the chosen class by region, beside the normal range")],
        tables=[
            DataTable(
                "Shares of the chosen class by region",
                columns,
                rows.rename(columns={"class": "explained"}).sort_values("share", ascending=False),
                is_open=False,
                filter_by="explained",
            )
        ],
    )


def doubts_section(remarks: Sequence[Remark]) -> Section:
    """Return what was doubtful when the scan was read and segmented."""
    text = [f"{remark.text[:1].upper()}{remark.text[1:]}." for remark in remarks]
    return Section("doubts", "What is doubtful about this scan", text=text)


def flags_section(scan_id: str, analyses: Analyses) -> Section:
    """Return whether the scan is flagged, and why."""
    scans, reasons = analyses.table("scans"), analyses.table("reasons")
    if scans is None:
        return Section("flags", "Normal or not", missing=analyses.why_missing("outliers"))
    mine = scans[scans["scan"] == scan_id]
    if mine.empty:
        return Section("flags", "Normal or not", text=["This scan came after the last analysis."])
    score = mine.iloc[0]
    rank = int((scans["score"] > score["score"]).sum()) + 1
    verdict = (
        "The model handled this scan abnormally."
        if score["flagged"]
        else "The model handled this scan as usual."
    )
    text = [
        f"{verdict} Its score is {shown(score['score'], 'number')} (p = {shown(score['p_value'], 'p')}), "
        f"rank {rank} of {len(scans)}, the most abnormal first. No ground truth is needed for this."
    ]
    if score["unsure"]:
        text.append(
            "The prediction is unusually uncertain in this scan: its mean entropy is "
            f"{shown(score['entropy'], 'number')} nats (p = {shown(score['p_entropy'], 'p')}). "
            "Check the segmentation."
        )
    if scan_id in analyses.documents.get("reports", {}):
        text.append(f"Its radiology report: {analyses.documents['reports'][scan_id]}")
    tables = []
    if reasons is not None and (reasons["scan"] == scan_id).any():
        columns = [
            Column("class", "Class", "class"),
            Column("sentence", "What differs most from the usual"),
            Column("share", "Share", "share"),
            Column("reference_median", "Usual", "share"),
            Column("deviation", "Deviation", "number"),
        ]
        own = reasons[reasons["scan"] == scan_id]
        tables.append(DataTable(_DEVIATION, columns, own))
    outliers = analyses.table("outliers")
    if outliers is not None:
        columns = [
            Column("class", "Class", "class"),
            Column("flagged", "Abnormal", "flag"),
            Column("score", "Score", "number"),
            Column("p_value", "p", "p"),
        ]
        own = outliers[outliers["scan"] == scan_id].sort_values("score", ascending=False)
        tables.append(DataTable("Scores by class", columns, own, is_open=False))
    return Section("flags", "Normal or not", text=text, tables=tables)


def overlays_section(pictures: list[Picture]) -> Section:
    """Return the classes on three planes."""
    text = ["For each class the slices with most of it. The viewer shows every class on every slice."]
    return Section("pictures", "On three planes", text=text, pictures=pictures)


def volume_section(spacing_mm: tuple[float, float, float] | None, opens_on: str = "") -> Section:
    """Return the section of the viewer, which opens on a reason; without volumes it says so."""
    if spacing_mm is None:
        return Section(
            "volume",
            "Volume",
            missing=Missing("the store holds no voxels of this scan, or the report was made without them"),
        )
    x, y, z = spacing_mm
    return Section(
        "volume",
        "Volume",
        text=[
            *([f"It opens on the first reason: {opens_on}."] if opens_on else []),
            "Click or drag to move, scroll to go through the slices; the patient's right is on the left. "
            "Warm colours raise the output for the class, cold ones lower it; the predicted class is green. "
            f"Volumes are coarsened to {x:.1f} by {y:.1f} by {z:.1f} mm for this page; agg2exp export writes "
            "them as they are.",
            "Keys, once the picture is chosen: arrows move right, left, to the head and to the feet, "
            "Page Up and Page Down to the front and back; 1 to 5 choose the window, A hides the attribution, "
            "P the prediction, H goes to the class.",
        ],
    )
