"""The matrix of classes by regions, and what two cohorts differ in, as interactive charts."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from agg2exp_core.labels import GROUP_COLOURS, group_of, readable
from agg2exp_core.report.vega import LEGEND, inline, spec_of

ORDERS = {
    "model": "as in the model",
    "own": "by share in itself, largest first",
    "name": "by name",
    "group": "by group",
}
_CELL = 22


def matrix_chart(cells: pd.DataFrame) -> dict[str, Any]:
    """Return the matrix of classes by regions, with the parameters ``variable`` and ``order``.

    Parameters
    ----------
    cells : DataFrame
        Columns ``variable``, ``class``, ``roi``, ``value``, ``text`` (the value as people read it), ``n``.
    """
    places = _orders(cells)
    data = cells.dropna(subset="value").assign(
        row=cells["class"].map(readable), column=cells["roi"].map(readable)
    )
    for axis, name in (("row", "class"), ("column", "roi")):
        for order in ORDERS:
            data[f"{axis}_{order}"] = data[name].map(places[order])
    place = "[{}]".format(", ".join(f"datum.{{axis}}_{order}" for order in ORDERS))
    which = f"indexof({list(ORDERS)}, order)"
    n_rows, n_columns = data["row"].nunique(), data["column"].nunique()
    chart = (
        alt.Chart(inline(data))
        .transform_filter("datum.variable === variable")
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
        .properties(width=_CELL * n_columns, height=_CELL * n_rows)
    )
    return spec_of(chart)


def _orders(cells: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Return the place of each name in each order; regions that are no class come last."""
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
    return {order: {name: i for i, name in enumerate(sorted(names, key=key))} for order, key in keys.items()}


def difference_chart(comparison: pd.DataFrame) -> dict[str, Any]:
    """Return the differences of two cohorts, a cell an entry; a dot marks an adjusted p-value under 0.05.

    Parameters
    ----------
    comparison : DataFrame
        Columns ``class``, ``roi``, ``difference``, ``p_adjusted``, ``mean_first``, ``mean_second``.
    """
    data = comparison.dropna(subset="difference")
    places = {name: i for i, name in enumerate(dict.fromkeys(comparison["class"]))}
    data = data.assign(
        row=data["class"].map(readable),
        column=data["roi"].map(readable),
        row_place=data["class"].map(places),
        column_place=data["roi"].map(places),
    )
    reach = float(data["difference"].abs().max()) if len(data) else 1.0
    base = alt.Chart(inline(data)).encode(
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
    n_rows, n_columns = data["row"].nunique(), data["column"].nunique()
    return spec_of((cells + dots).properties(width=_CELL * n_columns, height=_CELL * n_rows))


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
