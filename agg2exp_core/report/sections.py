"""What a report is made of before any HTML: pages of sections with text, charts, pictures and tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from agg2exp_core.labels import readable
from agg2exp_core.report.browser_volumes import STRONGEST

MISSING = "\N{EN DASH}"
NUMBERS = ("share", "number", "count", "p")


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Parameters
    ----------
    name : str
        Of the data.
    title : str
        What people read.
    kind : {"text", "class", "flag", "share", "number", "count", "p"}
        How a value is written: a share as a percentage, a class with the colour of its group, a flag as
        words.
    """

    name: str
    title: str
    kind: str = "text"


@dataclass(frozen=True, eq=False)
class DataTable:
    """A table that can be sorted by any column.

    Parameters
    ----------
    caption : str
        What the rows are.
    columns : sequence of Column
        Those of `frame` that are shown.
    frame : DataFrame
        A row each; missing values are NaN or None.
    links : mapping of str to str
        From the text of the first column to the address of a page.
    is_open : bool
        Whether it is shown without asking; the table beside a chart is not.
    filter_by : str
        Column whose value must be that of the choice of the same name; none by default.
    """

    caption: str
    columns: Sequence[Column]
    frame: pd.DataFrame
    links: Mapping[str, str] = field(default_factory=dict)
    is_open: bool = True
    filter_by: str = ""


@dataclass(frozen=True)
class Choice:
    """A list to choose from, which steers the charts and tables of a page.

    Parameters
    ----------
    name : str
        Of the parameter of the charts.
    title : str
    options : mapping of str to str
        From values to what people read; the first is chosen.
    """

    name: str
    title: str
    options: Mapping[str, str]


@dataclass(frozen=True)
class Picture:
    """A picture in a file of the report.

    Parameters
    ----------
    file, dark_file : str
        Relative to the root of the report; `dark_file` is empty where there is none.
    caption : str
        One line; also the alternative text.
    explanation : str
        How to read it.
    """

    file: str
    caption: str
    explanation: str
    dark_file: str = ""


@dataclass(frozen=True)
class Chart:
    """An interactive chart.

    Parameters
    ----------
    spec : mapping
        Vega-Lite, JSON-ready, its data included.
    caption : str
        What is seen; the name of the chart for a screen reader. A table beside it holds the numbers.
    """

    spec: Mapping[str, Any]
    caption: str


@dataclass(frozen=True)
class Missing:
    """Why there is nothing to show, and the command that makes it (empty where none would help)."""

    reason: str
    command: str = ""


@dataclass(frozen=True, eq=False)
class Section:
    """A part of a page.

    Parameters
    ----------
    anchor, title : str
    text : sequence of str
        Paragraphs: what is shown and how to read it.
    choices, charts, pictures, tables : sequence
    missing : Missing, optional
    """

    anchor: str
    title: str
    text: Sequence[str] = ()
    choices: Sequence[Choice] = ()
    charts: Sequence[Chart] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[DataTable] = ()
    missing: Missing | None = None


@dataclass(frozen=True)
class Link:
    """A page that a page leads to; `address` is relative to the root of the report."""

    title: str
    address: str
    is_here: bool = False


@dataclass(frozen=True)
class Viewer:
    """What the volume viewer of a scan shows, JSON-ready; see ``templates/viewer.js``."""

    data: Mapping[str, Any]
    strongest: Sequence[int] = STRONGEST


@dataclass(frozen=True, eq=False)
class Page:
    """A page of a report.

    Parameters
    ----------
    title : str
    facts : mapping of str to str
        For its head.
    links : sequence of Link
    sections : sequence of Section
    explained : sequence of str
        Classes to choose from, on the page of a scan.
    viewer : Viewer, optional
        Shown in the section ``volume``.
    """

    title: str
    facts: Mapping[str, str]
    links: Sequence[Link]
    sections: Sequence[Section]
    explained: Sequence[str] = ()
    viewer: Viewer | None = None


def gathered(sections: Sequence[Section]) -> list[Section]:
    """Return the sections that hold something, and ahead of what to try next one of what is missing."""
    absent = [section for section in sections if section.missing is not None]
    kept = [
        replace(section, missing=None)
        for section in sections
        if section.missing is None or section.text or section.charts or section.pictures or section.tables
    ]
    if not absent:
        return kept
    rows: dict[Missing, list[str]] = {}
    for section in absent:
        assert section.missing is not None
        rows.setdefault(section.missing, []).append(section.title)
    frame = pd.DataFrame(
        [(", ".join(titles), f"{why.reason}.", why.command or MISSING) for why, titles in rows.items()],
        columns=["part", "reason", "command"],
    )
    columns = [
        Column("part", "Part"),
        Column("reason", "Why it is not here"),
        Column("command", "What adds it"),
    ]
    table = DataTable("Parts without anything to show", columns, frame)
    place = next((n for n, section in enumerate(kept) if section.anchor == "next"), len(kept))
    return [*kept[:place], Section("missing", "Not in this report", tables=[table]), *kept[place:]]


def shown(value: Any, kind: str) -> str:
    """Return a value as people read it; a dash where it is missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)) or value is pd.NA:
        return MISSING
    match kind:
        case "share":
            share = "< 0.1" if 0 < value < 0.0005 else f"{100 * value:.1f}"
            return f"{share}\N{NO-BREAK SPACE}%"
        case "number":
            return f"{value:.3g}"
        case "count":
            return f"{value:,.0f}"
        case "p":
            return "< 0.001" if value < 0.001 else f"{value:.3f}"
        case "flag":
            return "flagged" if value else ""
        case "class":
            return readable(value)
    return str(value)


def sort_key(value: Any, kind: str) -> str:
    """Return what a table is sorted by in a browser: a number, or nothing for text and what is missing."""
    if kind not in (*NUMBERS, "flag") or shown(value, kind) == MISSING:
        return ""
    return f"{float(value):.9g}"
