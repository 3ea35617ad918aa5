"""The sections of a cohort's page that follow from its matrices alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from agg2exp_core.labels import readable
from agg2exp_core.report.charts import context_chart
from agg2exp_core.report.content import BACKGROUND, class_lines, percent
from agg2exp_core.report.matrix_charts import ORDERS, matrix_chart
from agg2exp_core.report.sections import Chart, Choice, Column, DataTable, Picture, Section, shown

VARIABLES = {
    "mass": "share of the attribution",
    "mass_without_background": "share, background left out",
    "concentration": "concentration: share divided by the region's share of the volume",
}
_KINDS = {"mass": "share", "mass_without_background": "share", "concentration": "number"}


def matrix_section(local: xr.Dataset) -> Section:
    """Return the matrix over scans, to hover, to sort, and as tables.

    Parameters
    ----------
    local : Dataset, dims (scan, target, roi)
        Local importance.
    """
    variables = {name: title for name, title in VARIABLES.items() if name in local}
    cells = pd.concat([_cells(local[name], name) for name in variables], ignore_index=True)
    tables = [_matrix_table(cells[cells["variable"] == name], name) for name in variables]
    return Section(
        "matrix",
        "Matrix",
        text=[
            "Read it by rows. A row is the class that is explained, a column the region where its "
            "attribution lies; a value is the mean over the scans in which both occur. A row of shares sums "
            "to 100 % over the model's own classes. Point at a cell to read it; colours follow the square "
            "root of the value."
        ],
        choices=[Choice("variable", "Value", variables), Choice("order", "Order", ORDERS)],
        charts=[
            Chart(matrix_chart(cells), "Importance of regions (columns) for classes (rows), mean over scans")
        ],
        tables=tables,
    )


def _cells(values: xr.DataArray, variable: str) -> pd.DataFrame:
    mean, n = values.mean("scan"), values.count("scan")
    frame = mean.rename("value").to_dataframe().reset_index()[["target", "roi", "value"]]
    frame = frame.rename(columns={"target": "class"}).assign(variable=variable, n=n.values.ravel())
    return frame.assign(text=[shown(value, _KINDS[variable]) for value in frame["value"]])


def _matrix_table(cells: pd.DataFrame, variable: str) -> DataTable:
    names = list(dict.fromkeys(cells["roi"]))
    frame = cells.pivot(index="class", columns="roi", values="value")
    frame = frame.loc[list(dict.fromkeys(cells["class"])), names].reset_index()
    frame.columns = pd.Index(["class", *(f"in {name}" for name in names)])
    columns = [
        Column("class", "Explained class", "class"),
        *(Column(f"in {name}", readable(name), _KINDS[variable]) for name in names),
    ]
    return DataTable(f"{VARIABLES[variable]}, mean over scans", columns, frame, is_open=False)


def glance_section(local: xr.Dataset, pictures: list[Picture]) -> Section:
    """Return the strongest contributions to each class: the graph, and a table."""
    rows = []
    for line in class_lines(local["mass"].mean("scan"), local):
        others = ", ".join(f"{readable(name)} {percent(share)}" for name, share in line.others)
        rows.append((line.name, line.n_scans, line.own, *line.own_range, line.background, others))
    names = ["class", "n", "own", "low", "high", "background", "others"]
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
        pd.DataFrame(rows, columns=names),
    )
    return Section(
        "glance",
        "Which classes lean on which",
        text=[
            "A share in another structure is no error: models use the surroundings. A share that differs "
            "much from scan to scan, or lies where anatomy gives no reason, is worth a look."
        ],
        pictures=pictures,
        tables=[table],
    )


def context_of(local: xr.Dataset) -> pd.DataFrame:
    """Return a row a scan and class: the shares in the class itself and in the background."""
    mass = local["mass"]
    shared = [name for name in mass["target"].values if name in mass["roi"].values]
    own = xr.concat(
        [mass.sel(target=name, roi=name, drop=True) for name in shared], pd.Index(shared, name="class")
    )
    background = (
        mass.sel(roi=BACKGROUND, drop=True)
        if BACKGROUND in mass["roi"].values
        else own.rename({"class": "target"}) * np.nan
    ).rename({"target": "class"})
    frame: Any = xr.Dataset({"own": own, "background": background.sel({"class": shared})}).to_dataframe()
    frame = frame.reset_index()
    return pd.DataFrame(frame[["scan", "class", "own", "background"]]).assign(cohort="store")


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
    return Section(
        "context",
        "Context",
        text=[
            "What does not lie in a class itself is context: the lower the share, the more of it the model "
            "uses. A mark is a scan."
        ],
        charts=[
            Chart(context_chart(context), "Share of each class's attribution in the class itself, by scan")
        ],
        tables=[DataTable("Share in the class itself over scans", columns, table, is_open=False)],
    )
