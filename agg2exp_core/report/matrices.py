"""The matrix of classes by regions: its section, and the charts of it and of what two cohorts differ in."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd
import xarray as xr

from agg2exp_core.labels import GROUP_COLOURS, group_of, readable
from agg2exp_core.report.charts import LEGEND, ROWS, spec_of
from agg2exp_core.report.sections import Chart, Choice, Column, DataTable, Picture, Section, shown

ORDERS = {
    "model": "as in the model",
    "own": "by share in itself, largest first",
    "name": "by name",
    "group": "by group",
}
VARIABLES = {
    "mass": "share of the attribution",
    "mass_without_background": "share, background left out",
    "concentration": "concentration: share divided by the region's share of the volume",
}
_KINDS = {"mass": "share", "mass_without_background": "share", "concentration": "number"}
_CELL = 22


def matrix_section(local: xr.Dataset, picture: Picture) -> Section:
    """Return the matrix over scans, to hover, to sort, as a picture and as tables.

    Parameters
    ----------
    local : Dataset, dims (scan, target, roi)
        Local importance.
    picture : Picture
        The means with their numbers, for print and for a browser without scripts.
    """
    variables = {name: title for name, title in VARIABLES.items() if name in local}
    cells = pd.concat([_cells(local[name], name) for name in variables], ignore_index=True)
    tables = [_matrix_table(cells[cells["variable"] == name], name) for name in variables]
    return Section(
        "matrix",
        "Matrix",
        text=[
            "Read it by rows. A row is the class that is explained, a column the region where its "
            "attribution lies; a value is the mean over the scans in which both occur. In each scan the "
            "shares of a row add up to 100 % over the model's own classes. Point at a cell to read it; "
            "colours follow the square root of the value."
        ],
        choices=[Choice("variable", "Value", variables), Choice("order", "Order", ORDERS)],
        charts=[
            Chart(_matrix_chart(cells), "Importance of regions (columns) for classes (rows), mean over scans")
        ],
        pictures=[picture],
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


def _matrix_chart(cells: pd.DataFrame) -> dict[str, Any]:
    """Return the matrix of classes by regions, with the parameters ``variable`` and ``order``.

    Parameters
    ----------
    cells : DataFrame
        Columns ``variable``, ``class``, ``roi``, ``value``, ``text`` (the value as people read it), ``n``.
    """
    names, data = _names(cells), cells.dropna(subset="value")
    place = "[{}]".format(", ".join(f"datum.{{axis}}_{order}" for order in ORDERS))
    which = f"indexof({list(ORDERS)}, order)"
    source = alt.LookupData(alt.NamedData("names"), key="class", fields=["title", *ORDERS])
    added: dict[str, list[Any]] = {
        axis: [axis, *(f"{axis}_{order}" for order in ORDERS)] for axis in ("row", "column")
    }
    chart = (
        alt.Chart(ROWS)
        .transform_filter("datum.variable === variable")
        .transform_lookup(lookup="class", from_=source, as_=added["row"])
        .transform_lookup(lookup="roi", from_=source, as_=added["column"])
        .transform_calculate(
            row_place=f"{place.format(axis='row')}[{which}]",
            column_place=f"{place.format(axis='column')}[{which}]",
        )
        .mark_rect(aria=False)
        .encode(
            **_axes("explained class", "region where the attribution lies"),
            color=alt.Color(
                "value:Q", title=None, scale=alt.Scale(type="sqrt", scheme="viridis"), legend=LEGEND
            ),
            tooltip=[
                alt.Tooltip("row:N", title="explained class"),
                alt.Tooltip("column:N", title="region"),
                alt.Tooltip("text:N", title="value"),
                alt.Tooltip("n:Q", title="scans"),
            ],
        )
        .add_params(
            alt.param(name="variable", value=str(cells["variable"].iloc[0])),
            alt.param(name="order", value="model"),
        )
    )
    return spec_of(_sized(chart, data), rows=data, names=names)


def _names(cells: pd.DataFrame) -> pd.DataFrame:
    """Return each name as ``class``, its title, its place in each order; regions that are no class last."""
    classes, regions = list(dict.fromkeys(cells["class"])), list(dict.fromkeys(cells["roi"]))
    names = classes + [name for name in regions if name not in classes]
    first = cells[(cells["class"] == cells["roi"]) & (cells["variable"] == cells["variable"].iloc[0])]
    own = dict(zip(first["class"], first["value"].fillna(-1.0), strict=True))
    groups = list(GROUP_COLOURS)
    keys: dict[str, Any] = {
        "model": names.index,
        "own": lambda name: (-own.get(name, -2.0), names.index(name)),
        "name": readable,
        "group": lambda name: (name not in classes, groups.index(group_of(name)), readable(name)),
    }
    places = {
        order: pd.Series({name: i for i, name in enumerate(sorted(names, key=key))})
        for order, key in keys.items()
    }
    frame = pd.DataFrame({"title": pd.Series({name: readable(name) for name in names}), **places})
    return frame.rename_axis("class").reset_index()


def _sized(chart: Any, data: pd.DataFrame) -> Any:
    return chart.properties(width=_CELL * data["roi"].nunique(), height=_CELL * data["class"].nunique())


def difference_chart(comparison: pd.DataFrame) -> dict[str, Any]:
    """Return the differences of two cohorts, a cell an entry; a dot marks an adjusted p-value under 0.05.

    Parameters
    ----------
    comparison : DataFrame
        Columns ``class``, ``roi``, ``difference``, ``p_adjusted``, ``mean_first``, ``mean_second``.
    """
    columns = ["class", "roi", "difference", "p_adjusted", "mean_first", "mean_second"]
    data = comparison.dropna(subset="difference")[columns]
    places = {name: i for i, name in enumerate(dict.fromkeys(comparison["class"]))}
    data = data.assign(
        row=data["class"].map(readable),
        column=data["roi"].map(readable),
        row_place=data["class"].map(places),
        column_place=data["roi"].map(places),
    )
    reach = float(data["difference"].abs().max()) if len(data) else 1.0
    base = alt.Chart(ROWS).encode(
        **_axes("explained class", "region where the attribution lies"),
        tooltip=[
            alt.Tooltip("row:N", title="explained class"),
            alt.Tooltip("column:N", title="region"),
            alt.Tooltip("mean_first:Q", title="this store", format=".2%"),
            alt.Tooltip("mean_second:Q", title="reference", format=".2%"),
            alt.Tooltip("p_adjusted:Q", title="adjusted p", format=".3f"),
        ],
    )
    cells = base.mark_rect(aria=False).encode(
        color=alt.Color(
            "difference:Q",
            title=None,
            scale=alt.Scale(
                type="symlog",
                constant=reach / 50,
                scheme="purpleorange",
                domain=[reach, -reach],
                reverse=True,
            ),
            legend=alt.Legend(format="+.1%", orient="right"),
        )
    )
    dots = base.mark_point(filled=True, size=18, color="black", opacity=1, aria=False).transform_filter(
        "datum.p_adjusted < 0.05"
    )
    return spec_of(_sized(cells + dots, data), rows=data)


def _axes(row_title: str, column_title: str) -> dict[str, Any]:
    """Return the axes of the fields ``row`` and ``column``, ordered by ``row_place``, ``column_place``."""
    return {
        "x": alt.X(
            "column:N",
            title=column_title,
            sort=alt.EncodingSortField("column_place", op="min"),
            axis=alt.Axis(labelAngle=-60, labelLimit=180),
        ),
        "y": alt.Y(
            "row:N",
            title=row_title,
            sort=alt.EncodingSortField("row_place", op="min"),
            axis=alt.Axis(labelLimit=180),
        ),
    }
