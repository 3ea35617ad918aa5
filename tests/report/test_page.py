"""The page: whole, self-contained, and safe whatever a scan is called."""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from agg2exp_core.errors import UsageError
from agg2exp_core.report import ReportFigure, ScanLine, render_report
from agg2exp_core.report.content import class_lines
from tests.paper_table import over_scans, published_local

HOSTILE = "<script>alert(1)</script>\"'&"
PNG = b"\x89PNG\r\n\x1a\n not a real picture"
VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Reads a page strictly: every tag closes in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[list[str]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if {"td", "th"} & set(self.open):
            self.cells[-1][-1] += data.strip()

    def find(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def cohort() -> xr.Dataset:
    """Two scans; the aorta is absent from the second, the ribs from both."""
    nan = np.nan
    names = ["background", "heart", "aorta", "ribs"]
    one = [[0.9, 0.06, 0.04, nan], [0.7, 0.2, 0.1, nan], [0.5, 0.3, 0.2, nan], [nan] * 4]
    two = [[0.9, 0.10, nan, nan], [0.6, 0.4, nan, nan], [nan] * 4, [nan] * 4]
    coords = {"scan": ["s1", "s2"], "target": names, "roi": names, "roi_kind": ("roi", ["class"] * 4)}
    return xr.Dataset({"mass": (("scan", "target", "roi"), [one, two])}, coords=coords)


def means(local: xr.Dataset) -> xr.Dataset:
    return xr.Dataset({"mean": local["mass"].mean("scan")})


def render(local: xr.Dataset | None = None, **changes) -> str:
    local = cohort() if local is None else local
    parts = {
        "title": "Explanations",
        "summary": {"Model": "a model"},
        "global_importance": means(local),
        "local_importance": local,
        "figures": [ReportFigure("The matrix", PNG, "Rows are classes.")],
        "scans": [ScanLine("s1", "done", "", 3, 12.34), ScanLine("s3", "failed", "a truncated file", 0, 0.1)],
        "provenance": {"method": {"name": "smoothgrad", "n_samples": 5}, "seed": 0},
    }
    return render_report(**{**parts, **changes})


def test_nothing_is_fetched():
    html = render()
    assert not re.search(r"https?:|//[a-z]|@import|url\(", html.replace("data:image/png;base64,", ""))
    page = Page(html)
    assert not page.find("script")
    assert not page.find("link")
    assert not page.find("iframe")
    (picture,) = page.find("img")
    assert picture["src"] == "data:image/png;base64," + base64.b64encode(PNG).decode()
    assert picture["alt"] == "The matrix"


def test_anchors_headings_and_captions_are_whole():
    page = Page(render())
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {attrs["href"] for attrs in page.find("a")} <= {f"#{name}" for name in ids}
    assert len(page.find("h1")) == 1
    assert len(page.find("caption")) == len(page.find("table")) == 4
    assert page.find("html")[0]["lang"] == "en"


def test_hostile_names_stay_text():
    html = render(
        title=HOSTILE,
        summary={HOSTILE: HOSTILE},
        figures=[ReportFigure(HOSTILE, PNG, HOSTILE)],
        scans=[ScanLine(HOSTILE, HOSTILE, HOSTILE, 0, 0.0)],
        provenance={HOSTILE: {HOSTILE: HOSTILE}},
    )
    page = Page(html)
    assert not page.find("script")
    assert page.find("img")[0]["alt"] == HOSTILE
    assert page.cells[-1] == [f"{HOSTILE}.{HOSTILE}", HOSTILE]


def test_scans_that_failed_come_first_with_their_reason():
    rows = [row for row in Page(render()).cells if row[0] in ("s1", "s3")]
    assert rows == [["s3", "failed", "0", "0.1", "a truncated file"], ["s1", "done", "3", "12.3", ""]]
    assert "1 scan could not be done" in render()
    assert "could not be done." not in render(scans=[ScanLine("s1", "done", "", 3, 1.0)])


def test_the_matrix_is_the_mean_in_percent(real_data: Path):
    local = published_local(real_data)
    mean = over_scans(local)["mean"]
    rows = {
        row[0]: row[1:]
        for row in Page(render(local, global_importance=over_scans(local))).cells
        if len(row) == 18
    }
    assert len(rows.pop("")) == 17  # the head
    for target in mean["target"].values:
        shown = np.array([float(text) for text in rows[target.replace("_", " ")]])
        np.testing.assert_allclose(shown, 100 * mean.sel(target=target).values, atol=0.051)


def test_missing_cells_are_dashes():
    rows = [row for row in Page(render()).cells if len(row) == 5 and row[0] == "ribs"]
    assert rows == [["ribs", *["\N{EN DASH}"] * 4]]


def test_a_class_at_a_glance():
    local = cohort()
    heart, aorta, ribs = class_lines(means(local)["mean"], local)
    assert (heart.n_scans, aorta.n_scans, ribs.n_scans) == (2, 1, 0)
    assert heart.own == pytest.approx(0.3)
    assert heart.own_range == (0.2, 0.4)
    assert heart.others == (("aorta", pytest.approx(0.1)),)
    assert aorta.background == pytest.approx(0.5)
    assert ribs.others == ()


def test_one_scan_without_a_scan_axis_is_a_cohort_of_one():
    one = cohort().isel(scan=0, drop=True)
    rows = Page(render(local_importance=one)).cells
    assert [row[1] for row in rows if row[0] == "heart" and len(row) == 6] == ["1"]


def test_no_scans_or_pictures_still_make_a_page():
    assert "There are no pictures" in render(figures=[], scans=[], summary={}, provenance={})


def test_other_data_sets_are_refused():
    with pytest.raises(UsageError, match="'mean'"):
        render(global_importance=cohort())
    with pytest.raises(UsageError, match="'mass'"):
        render(local_importance=means(cohort()))
