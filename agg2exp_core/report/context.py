"""The sections of a cohort's page that tell what each class relies on: itself, or its surroundings."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from agg2exp_core.labels import BACKGROUND, readable
from agg2exp_core.report.charts import context_chart, context_summary_chart
from agg2exp_core.report.sections import Chart, Column, DataTable, Picture, Section, shown

_N_OTHERS = 3
MOST_MARKS = 10_000
"""That a chart draws; of more it draws a summary."""


def strongest(local: xr.Dataset) -> pd.DataFrame:
    """Return each class but background at a glance, in the order of the matrix.

    Parameters
    ----------
    local : Dataset, dims (scan, target, roi)
        Local importance, with the coordinate ``roi_kind``.

    Returns
    -------
    DataFrame
        Columns ``class``; ``n``, scans that have it; ``own`` and ``background``, mean shares of its
        attribution; ``low`` and ``high``, the range of ``own`` over scans; ``others``, the three strongest
        other regions with their mean shares, merged ones left out.
    """
    mass = local["mass"]
    mean, n = mass.mean("scan"), mass.notnull().any("roi").sum("scan")
    merged = set(mass["roi"].values[mass["roi_kind"].values == "merged"])
    rows = []
    for name in map(str, mass["target"].values):
        if name == BACKGROUND:
            continue
        row = mean.sel(target=name).to_series().dropna()
        others = row.drop([name, BACKGROUND, *merged], errors="ignore").sort_index(kind="stable")
        others = others.sort_values(ascending=False, kind="stable").head(_N_OTHERS)
        own = mass.sel(target=name, roi=name) if name in mass["roi"].values else xr.DataArray([np.nan])
        rows.append(
            {
                "class": name,
                "n": int(n.sel(target=name)),
                "own": row.get(name, np.nan),
                "low": float(own.min()),
                "high": float(own.max()),
                "background": row.get(BACKGROUND, np.nan),
                "others": list(others.items()),
            }
        )
    names = ["class", "n", "own", "low", "high", "background", "others"]
    return pd.DataFrame(rows, columns=names)


def glance_section(local: xr.Dataset, graph: Picture) -> Section:
    """Return the strongest contributions to each class: an example, the graph, and a table."""
    classes = strongest(local)
    text = [
        "A share in another structure is no error: models use the surroundings. A share that differs "
        "much from scan to scan, or lies where anatomy gives no reason, is worth a look."
    ]
    explained = [one for one in classes.to_dict("records") if one["others"]]
    if explained:
        one = max(explained, key=lambda one: one["n"])
        region, share = one["others"][0]
        text.insert(
            0,
            f"An example: of what explains {readable(one['class'])}, {shown(one['own'], 'share')} lies in "
            f"the structure itself and {shown(one['background'], 'share')} in the background; the largest "
            f"share of another region, {shown(share, 'share')}, lies in {readable(region)}.",
        )
    classes["others"] = [
        ", ".join(f"{readable(region)} {shown(share, 'share')}" for region, share in others)
        if n
        else "not found in any scan"
        for n, others in zip(classes["n"], classes["others"], strict=True)
    ]
    table = DataTable(
        "Mean shares of each class's attribution, and the range over scans of the share in the class itself",
        [
            Column("class", "Explained class", "class"),
            Column("n", "Scans", "count"),
            Column("own", "In itself", "share"),
            Column("low", "Lowest", "share"),
            Column("high", "Highest", "share"),
            Column("background", "In background", "share"),
            Column("others", "Strongest other regions"),
        ],
        classes,
    )
    return Section("glance", "What each class relies on", text=text, pictures=[graph], tables=[table])


def context_section(context: pd.DataFrame) -> Section:
    """Return how much of each class's attribution lies in the class itself, scan by scan.

    Parameters
    ----------
    context : DataFrame
        Columns ``cohort``, ``scan``, ``class``, ``own``, ``background``.
    """
    grouped = context.dropna(subset="own").groupby(["cohort", "class"], sort=False)["own"]
    table = grouped.describe().reset_index().sort_values("50%", ascending=False)
    columns = [
        Column("class", "Class", "class"),
        Column("cohort", "Cohort"),
        Column("count", "Scans", "count"),
        Column("min", "Lowest", "share"),
        Column("25%", "First quartile", "share"),
        Column("50%", "Median", "share"),
        Column("75%", "Third quartile", "share"),
        Column("max", "Highest", "share"),
    ]
    is_long = len(context) > MOST_MARKS
    mark = "A bar spans the 5th to the 95th percentile over scans, its mark the median"
    text = (
        "What does not lie in a class itself is context: the lower the share, the more context the model "
        f"uses. {mark if is_long else 'Each mark is a scan'}"
    )
    cohorts = list(context["cohort"].unique())
    rows = f"; of the two rows of a class the upper is the {' and the lower the '.join(cohorts)}"
    return Section(
        "context",
        "Context",
        text=[f"{text}{rows if len(cohorts) == 2 else ''}."],
        charts=[
            Chart(
                context_summary_chart(context) if is_long else context_chart(context),
                "Share of each class's attribution in the class itself, "
                f"{'over scans' if is_long else 'by scan'}",
            )
        ],
        tables=[DataTable("Share in the class itself over scans", columns, table, is_open=False)],
    )
