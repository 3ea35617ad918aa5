"""Interactive charts of a scan's row, of context, scores and methods: Vega-Lite, drawn by a browser.

Colours of text and rules come from the page's style, so that charts follow it in the dark and on paper.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from agg2exp_core.labels import GROUP_COLOURS, group_of, readable

ROWS = alt.NamedData("rows")
"""The data of a chart; a spec holds them once, by this name."""
LEGEND = alt.Legend(orient="right")
_USUAL, _UNUSUAL = "#4c78a8", "#e45756"
_WIDTH = 560
_FONT = 'system-ui, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif'
"""That of the page: the room of a text is measured before it is drawn."""


def _coloured(field: str, kinds: Sequence[str], colours: Sequence[str]) -> alt.Color:
    """Return a colour for each kind; a shape should say the same, for those who see no colours."""
    scale = alt.Scale(domain=list(kinds), range=list(colours))
    return alt.Color(f"{field}:N", title=None, scale=scale, legend=LEGEND)


def _shaped(field: str, kinds: Sequence[str], shapes: Sequence[str]) -> alt.Shape:
    """Return a shape for each kind."""
    scale = alt.Scale(domain=list(kinds), range=list(shapes))
    return alt.Shape(f"{field}:N", title=None, scale=scale, legend=LEGEND)


def spec_of(chart: Any, **data: pd.DataFrame) -> dict[str, Any]:
    """Return a chart as Vega-Lite, JSON-ready, with its data by name; missing numbers become null."""
    styled = chart.configure(background="transparent", font=_FONT).configure_view(stroke=None)
    spec: dict[str, Any] = styled.to_dict()
    rows = {name: frame.to_json(orient="records", double_precision=10) for name, frame in data.items()}
    return spec | {"datasets": {name: json.loads(text) for name, text in rows.items()}}


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
    base = alt.Chart(ROWS).transform_filter("datum.class === explained")
    tips = [
        alt.Tooltip("region:N"),
        alt.Tooltip("share:Q", title="this scan", format=".2%"),
        alt.Tooltip("median:Q", title="median", format=".2%"),
        alt.Tooltip("q05:Q", title="5th percentile", format=".2%"),
        alt.Tooltip("q95:Q", title="95th percentile", format=".2%"),
        alt.Tooltip("place:N", title="position"),
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
        color=_coloured("place", places, [_USUAL, _UNUSUAL, _UNUSUAL, _USUAL]),
        shape=_shaped("place", places, ["circle", "triangle-up", "triangle-down", "circle"]),
        tooltip=tips,
    )
    first = str(rows["class"].iloc[0]) if len(rows) else ""
    chart = (bars + ticks + points).add_params(alt.param(name="explained", value=first))
    return spec_of(chart.properties(width=_WIDTH, height=alt.Step(19)), rows=data)


def context_chart(context: pd.DataFrame) -> dict[str, Any]:
    """Return the share of each class in itself, a mark a scan.

    Parameters
    ----------
    context : DataFrame
        Columns ``cohort``, ``scan``, ``class``, ``own``, ``background``.
    """
    data = context.dropna(subset="own")[["cohort", "scan", "class", "own", "background"]]
    data = data.assign(row=data["class"].map(readable), group=data["class"].map(group_of))
    n_cohorts = data["cohort"].nunique()
    y = alt.Y("row:N", title=None, sort=alt.EncodingSortField("own", op="median", order="descending"))
    encoding: dict[str, Any] = {"y": y}
    if n_cohorts > 1:
        encoding["yOffset"] = alt.YOffset("cohort:N", sort=None)
    scale = alt.Scale(domain=list(GROUP_COLOURS), range=[*list(GROUP_COLOURS.values())[:-1], "#b07aa1"])
    ticks = (
        alt.Chart(ROWS)
        .mark_tick(thickness=2, opacity=0.65, aria=False)
        .encode(
            x=alt.X(
                "own:Q",
                title="share of the class's attribution in itself",
                axis=alt.Axis(format="%", tickCount=10),
            ),
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
    return spec_of(ticks.properties(width=_WIDTH, height=alt.Step(22 if n_cohorts == 1 else 12)), rows=data)


def context_summary_chart(context: pd.DataFrame) -> dict[str, Any]:
    """Return median, 5th and 95th percentile over scans of the share of each class in itself.

    Parameters
    ----------
    context : DataFrame
        Columns ``cohort``, ``class``, ``own``.
    """
    by_class = context.dropna(subset="own").groupby(["cohort", "class"], sort=False)["own"]
    shares = {"q05": 0.05, "median": 0.5, "q95": 0.95}
    data = pd.DataFrame({"n": by_class.size(), **{name: by_class.quantile(q) for name, q in shares.items()}})
    data = data.reset_index()
    data = data.assign(row=data["class"].map(readable))
    n_cohorts = data["cohort"].nunique()
    encoding: dict[str, Any] = {
        "y": alt.Y("row:N", title=None, sort=alt.EncodingSortField("median", op="max", order="descending")),
        "tooltip": [
            alt.Tooltip("row:N", title="class"),
            alt.Tooltip("median:Q", title="median", format=".1%"),
            alt.Tooltip("q05:Q", title="5th percentile", format=".1%"),
            alt.Tooltip("q95:Q", title="95th percentile", format=".1%"),
            alt.Tooltip("n:Q", title="scans"),
            alt.Tooltip("cohort:N"),
        ],
    }
    if n_cohorts > 1:
        encoding["yOffset"] = alt.YOffset("cohort:N", sort=None)
    title = "share of the class's attribution in itself"
    base = alt.Chart(ROWS).encode(**encoding)
    low = alt.X("q05:Q", title=title, axis=alt.Axis(format="%", tickCount=10))
    bars = base.mark_bar(height=9, color="#9ecae1", aria=False).encode(x=low, x2="q95:Q")
    ticks = base.mark_tick(thickness=2, height=13, color="#3182bd", aria=False).encode(x="median:Q")
    size = alt.Step(22 if n_cohorts == 1 else 12)
    return spec_of((bars + ticks).properties(width=_WIDTH, height=size), rows=data)


_OF_SCORES = ("score", "p_value", "flagged", "page", "rank", "kind")


def scores_chart(scans: pd.DataFrame, every: int = 1) -> dict[str, Any]:
    """Return the scores of scans, the most abnormal first; a mark leads to the scan's page, if there is one.

    Parameters
    ----------
    scans : DataFrame
        Columns ``scan``, ``score``, ``p_value``, ``flagged``, ``page`` (an address, or nothing).
    every : int
        Of those that are not flagged, each how many-th is drawn.
    """
    data = scans.sort_values("score", ascending=False)
    data = data.assign(
        rank=range(1, len(data) + 1), kind=data["flagged"].map({True: "flagged", False: "not flagged"})
    )
    data = data.loc[data["flagged"] | (data["rank"] % every == 0), ["scan", *_OF_SCORES]]
    links = {"href": "page:N"} if data["page"].all() else {}
    points = (
        alt.Chart(ROWS)
        .mark_point(filled=True, size=80, opacity=0.9)
        .encode(
            x=alt.X("rank:Q", title="scans, the most abnormal first", axis=alt.Axis(tickMinStep=1)),
            y=alt.Y("score:Q", title="score (grows with abnormality)", scale=alt.Scale(zero=False)),
            color=_coloured("kind", ["flagged", "not flagged"], [_UNUSUAL, _USUAL]),
            shape=_shaped("kind", ["flagged", "not flagged"], ["triangle-up", "circle"]),
            **links,
            description="scan:N",
            tooltip=[
                alt.Tooltip("scan:N"),
                alt.Tooltip("score:Q", format=".3f"),
                alt.Tooltip("p_value:Q", title="p", format=".3f"),
                alt.Tooltip("kind:N", title=" "),
            ],
        )
    )
    return spec_of(points.properties(width=_WIDTH, height=220), rows=data)


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
        color=_coloured("kind", ["best of the metric", "others"], [_UNUSUAL, _USUAL]),
        tooltip=[
            alt.Tooltip("name:N", title="method"),
            alt.Tooltip("mean:Q", format=".3g"),
            alt.Tooltip("sd:Q", title="standard deviation", format=".3g"),
        ],
    )
    panels = (
        alt.layer(rules, points, data=ROWS)
        .properties(width=230, height=alt.Step(19))
        .facet(facet=alt.Facet("panel:N", title=None, sort=None), columns=2)
        .resolve_scale(x="independent")
    )
    return spec_of(panels, rows=data)
