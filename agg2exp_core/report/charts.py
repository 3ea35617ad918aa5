"""Interactive charts of a scan's row, of context, scores and methods."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from agg2exp_core.labels import GROUP_COLOURS, group_of, readable
from agg2exp_core.report.vega import LEGEND, UNUSUAL, USUAL, coloured, inline, shaped, spec_of

_WIDTH = 560


def row_chart(rows: pd.DataFrame) -> dict[str, Any]:
    """Return one scan's shares beside the normal range, with the parameter ``explained``, a class.

    Parameters
    ----------
    rows : DataFrame
        Columns ``class``, ``roi``, ``share``, ``q05``, ``median``, ``q95``, ``place`` (where
        the share lies in the range).
    """
    data = rows.assign(region=rows["roi"].map(readable))
    y = alt.Y("region:N", title=None, sort=alt.EncodingSortField("median", op="max", order="descending"))
    scale = alt.Scale(type="sqrt", nice=False)
    base = alt.Chart(inline(data)).transform_filter("datum.class === explained")
    tips = [
        alt.Tooltip("region:N"),
        alt.Tooltip("share:Q", title="this scan", format=".2%"),
        alt.Tooltip("median:Q", title="median", format=".2%"),
        alt.Tooltip("q05:Q", title="5th percentile", format=".2%"),
        alt.Tooltip("q95:Q", title="95th percentile", format=".2%"),
        alt.Tooltip("place:N", title="lies"),
    ]

    def x(field: str) -> alt.X:
        title = "share of the class's attribution (root scale)"
        return alt.X(f"{field}:Q", title=title, scale=scale, axis=alt.Axis(format="%", tickCount=8))

    bars = base.mark_bar(height=9, color="#9ecae1", aria=False).encode(
        x=x("q05"), x2="q95:Q", y=y, tooltip=tips
    )
    ticks = base.mark_tick(thickness=2, height=13, color="#3182bd", aria=False).encode(
        x=x("median"), y=y, tooltip=tips
    )
    places = ["in the range", "above", "below", "too few scans to say"]
    points = base.mark_point(filled=True, size=70, opacity=1, aria=False).encode(
        x=x("share"),
        y=y,
        color=coloured("place", places, [USUAL, UNUSUAL, UNUSUAL, USUAL]),
        shape=shaped("place", places, ["circle", "triangle-up", "triangle-down", "circle"]),
        tooltip=tips,
    )
    first = str(rows["class"].iloc[0]) if len(rows) else ""
    chart = (bars + ticks + points).add_params(alt.param(name="explained", value=first))
    return spec_of(chart.properties(width=_WIDTH, height=alt.Step(19)))


def context_chart(context: pd.DataFrame) -> dict[str, Any]:
    """Return the share of each class in itself, a mark a scan.

    Parameters
    ----------
    context : DataFrame
        Columns ``cohort``, ``scan``, ``class``, ``own``, ``background``.
    """
    data = context.dropna(subset="own")
    data = data.assign(row=data["class"].map(readable), group=data["class"].map(group_of))
    n_cohorts = data["cohort"].nunique()
    y = alt.Y("row:N", title=None, sort=alt.EncodingSortField("own", op="median", order="descending"))
    encoding: dict[str, Any] = {"y": y}
    if n_cohorts > 1:
        encoding["yOffset"] = alt.YOffset("cohort:N")
    scale = alt.Scale(domain=list(GROUP_COLOURS), range=[*list(GROUP_COLOURS.values())[:-1], "#b07aa1"])
    ticks = (
        alt.Chart(inline(data))
        .mark_tick(thickness=2, opacity=0.65, aria=False)
        .encode(
            x=alt.X("own:Q", title="share of the class's attribution in itself", axis=alt.Axis(format="%")),
            color=alt.Color("group:N", title=None, scale=scale, legend=LEGEND),
            tooltip=[
                alt.Tooltip("scan:N"),
                alt.Tooltip("row:N", title="class"),
                alt.Tooltip("own:Q", title="in itself", format=".1%"),
                alt.Tooltip("background:Q", title="in background", format=".1%"),
                alt.Tooltip("cohort:N"),
            ],
            **encoding,
        )
    )
    return spec_of(ticks.properties(width=_WIDTH, height=alt.Step(22 if n_cohorts == 1 else 12)))


def scores_chart(scans: pd.DataFrame) -> dict[str, Any]:
    """Return the scores of scans, the most abnormal first; a mark leads to the scan's page.

    Parameters
    ----------
    scans : DataFrame
        Columns ``scan``, ``score``, ``p_value``, ``flagged``, ``page`` (an address).
    """
    data = scans.sort_values("score", ascending=False)
    data = data.assign(
        rank=range(1, len(data) + 1), kind=data["flagged"].map({True: "flagged", False: "not flagged"})
    )
    points = (
        alt.Chart(inline(data))
        .mark_point(filled=True, size=80, opacity=0.9)
        .encode(
            x=alt.X("rank:Q", title="scans, the most abnormal first", axis=alt.Axis(tickMinStep=1)),
            y=alt.Y("score:Q", title="score (grows with abnormality)", scale=alt.Scale(zero=False)),
            color=coloured("kind", ["flagged", "not flagged"], [UNUSUAL, USUAL]),
            shape=shaped("kind", ["flagged", "not flagged"], ["triangle-up", "circle"]),
            href="page:N",
            description="scan:N",
            tooltip=[
                alt.Tooltip("scan:N"),
                alt.Tooltip("score:Q", format=".3f"),
                alt.Tooltip("p_value:Q", title="p", format=".3f"),
                alt.Tooltip("kind:N", title=" "),
            ],
        )
    )
    return spec_of(points.properties(width=_WIDTH, height=220))


def benchmark_chart(summary: pd.DataFrame) -> dict[str, Any]:
    """Return mean and standard deviation of each method, a panel a metric.

    Parameters
    ----------
    summary : DataFrame
        Columns ``method``, ``metric``, ``mean``, ``sd``, ``direction``, ``best``.
    """
    data = summary.assign(
        name=summary["method"].map(readable),
        panel=summary["metric"].map(readable) + ": " + summary["direction"].astype(str) + " is better",
        low=summary["mean"] - summary["sd"].fillna(0),
        high=summary["mean"] + summary["sd"].fillna(0),
        kind=(summary["best"].astype(str) == "True").map({True: "best of the metric", False: "others"}),
    )
    y = alt.Y("name:N", title=None, sort=None)
    base = alt.Chart().encode(y=y)
    rules = base.mark_rule(color="#8c96a0", aria=False).encode(x=alt.X("low:Q", title=None), x2="high:Q")
    points = base.mark_point(filled=True, size=60, opacity=1, aria=False).encode(
        x=alt.X("mean:Q", title=None),
        color=coloured("kind", ["best of the metric", "others"], [UNUSUAL, USUAL]),
        tooltip=[
            alt.Tooltip("name:N", title="method"),
            alt.Tooltip("mean:Q", format=".3g"),
            alt.Tooltip("sd:Q", title="standard deviation", format=".3g"),
        ],
    )
    panels = (
        alt.layer(rules, points, data=inline(data))
        .properties(width=230, height=alt.Step(19))
        .facet(facet=alt.Facet("panel:N", title=None, sort=None), columns=2)
        .resolve_scale(x="independent")
    )
    return spec_of(panels)
