"""Analysis, pictures and report of every kind of store, one after the other on the same folder."""

import itertools
import json

import numpy as np
import pytest

from agg2exp_core.pipeline import pictures
from agg2exp_core.pipeline.analyse import analyse_store
from agg2exp_core.pipeline.settings import AnalyseSettings
from agg2exp_core.report import output
from agg2exp_core.report.cohort_page import write_report
from tests.analysis.example import CLASSES, LABEL, matrices, write_files, write_store
from tests.report.making import write_volumes
from tests.report.reading import check_page, parsed, rows_of, section


@pytest.fixture(autouse=True)
def _pictures_without_pixels(monkeypatch):
    """Figures are made, and not rendered: that takes nearly all of the time."""
    for module in (pictures, output):
        for name in ("to_png", "to_svg", "to_pdf"):
            monkeypatch.setattr(module, name, lambda figure, dpi=0: b"a picture", raising=False)


def few(n_scans, **options):
    chosen = [CLASSES.index("background"), CLASSES.index("heart")]
    return matrices(n_scans, **options).isel(target=chosen, roi=chosen)


KINDS = list(itertools.product([False, True], repeat=3))
PAIRS = [kind for kind in KINDS if sum(kind) % 2 == 0]
"""Of these, any two of the three are each way together."""


@pytest.mark.parametrize(
    ("n_scans", "has_voxels", "has_reference", "has_dice"),
    [(1, *kind) for kind in KINDS] + [(22, *kind) for kind in PAIRS],
)
def test_it_is_analysed_drawn_and_reported(tmp_path, n_scans, has_voxels, has_reference, has_dice):
    local = few(n_scans, seed=1)
    store = write_store(tmp_path / "store", local)
    given = {}
    if has_reference:
        given["reference"] = write_store(tmp_path / "reference", few(24, seed=2, first=100)).uri
    if has_dice:
        given["dice"] = write_files(tmp_path, local)["dice"]
    if has_voxels:
        write_volumes(store.scan("s0000"))
    settings = AnalyseSettings(store=store.uri, label=LABEL, **given)
    for _ in range(2):  # the second run meets the files of the first
        summary, _ = pictures.draw(settings, analyse_store(settings))
        write_report(store, [LABEL], tmp_path / "report")
    skipped = summary["skipped"]
    assert ("comparison" in skipped) == (not has_reference or n_scans < 3)
    assert ("quality" in skipped) == (not has_dice)
    assert ("outliers" in skipped) == (n_scans == 1 and not has_reference)
    assert ("atlas" in skipped) == (not has_voxels)
    assert all(reason for reason in skipped.values())
    drawn = json.loads(store.read_file(f"analysis/{LABEL}/figures.json"))
    assert all(store.read_file(f"analysis/{LABEL}/{file}") for entry in drawn for file in entry["files"])
    check_page(tmp_path / "report" / "index.html")
    tree = parsed((tmp_path / "report" / "index.html").read_text())
    (table,) = section(tree, "missing").iter("table")
    parts = {part for row in rows_of(table)[1:] for part in row[0].split(", ")}
    assert ("Agreement with quality" in parts) == (not has_dice)


def test_rows_of_a_class_without_attribution_are_told(tmp_path):
    local = few(22, seed=1)
    norm = np.ones((22, 2))
    norm[4, 1] = 0.0
    local["norm"] = (("scan", "target"), norm)
    local["mass"][4, 1] = np.nan
    store = write_store(tmp_path / "store", local)
    summary = analyse_store(AnalyseSettings(store=store.uri, label=LABEL))
    (said,) = summary["told"]["matrices"]
    assert said.startswith("1 rows are empty")
    assert "s0004: heart" in said
