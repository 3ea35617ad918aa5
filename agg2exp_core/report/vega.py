"""What the interactive charts share: Vega-Lite that a browser draws without a server.

Colours of text and rules come from the page's style, so that charts follow it in the dark and on paper.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

USUAL, UNUSUAL = "#4c78a8", "#e45756"
LEGEND = alt.Legend(orient="right")


def inline(frame: pd.DataFrame) -> alt.Data:
    """Return rows as data of a chart; missing numbers become null."""
    return alt.InlineData(values=json.loads(frame.to_json(orient="records", double_precision=10)))


def coloured(field: str, kinds: Sequence[str], colours: Sequence[str]) -> alt.Color:
    """Return a colour for each kind; a shape should say the same, for those who see no colours."""
    scale = alt.Scale(domain=list(kinds), range=list(colours))
    return alt.Color(f"{field}:N", title=None, scale=scale, legend=LEGEND)


def shaped(field: str, kinds: Sequence[str], shapes: Sequence[str]) -> alt.Shape:
    """Return a shape for each kind."""
    scale = alt.Scale(domain=list(kinds), range=list(shapes))
    return alt.Shape(f"{field}:N", title=None, scale=scale, legend=LEGEND)


def spec_of(chart: Any) -> dict[str, Any]:
    """Return a chart as Vega-Lite, JSON-ready."""
    styled = chart.configure(background="transparent").configure_view(stroke=None)
    spec: dict[str, Any] = styled.to_dict()
    return spec
