"""The page that a run publishes: the cohort's own page in the store, whole, with the outcomes of the run."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from agg2exp_core.errors import StoreError, UsageError
from agg2exp_core.pipeline.outcomes import RunSummary, ScanOutcome
from agg2exp_core.report import publish_report, write_report
from agg2exp_core.report.context import strongest
from agg2exp_core.store import Store, open_store
from tests.analysis.example import CLASSES, LABEL, ODD, matrices, write_store
from tests.paper_table import published_local
from tests.report.making import analysed_store, bare_store
from tests.report.reading import check_page, data_in, parsed, rows_of, section, text_of

HOSTILE = "<script>alert(1)</script>\"'&"
DASH = "\N{EN DASH}"
OUTCOMES = (
    ScanOutcome("s0001", "done", "", 6, 6, 0, 12.34),
    ScanOutcome(ODD, "done", "its slices are thick", 6, 0, 6, 0.5),
    ScanOutcome("s9001", "failed", "a truncated file", 0, 0, 0, 0.12),
    ScanOutcome("s9002", "rejected", "no Hounsfield units"),
)


def published(store: Store, *outcomes: ScanOutcome) -> Path:
    """The folder that a run of these scans writes."""
    n_cohort = store.importance(LABEL).sizes["scan"]
    files = publish_report(store, RunSummary(store.uri, LABEL, list(outcomes), n_cohort))
    assert files[-2:] == [f"report/{LABEL}/index.html", "report/index.html"]
    assert all(Path(store.uri, name).is_file() for name in files)
    return Path(store.uri, "report")


def page_of(store: Store, *outcomes: ScanOutcome):
    return parsed((published(store, *outcomes) / "index.html").read_text())


def scans_in(tree) -> list[list[str]]:
    """The table of scans, its head first."""
    (table,) = section(tree, "scans").iter("table")
    return rows_of(table)


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """Of a store with findings, their pictures and two scans with voxels."""
    store = analysed_store(tmp_path_factory.mktemp("published") / "example")
    store.record_failure("s9001", "read", "a truncated file")
    for name in ("context.png", "context-dark.png", "atlas.png"):
        store.write_file(f"analysis/{LABEL}/figures/{name}", b"a picture")
    files = {"context": ["figures/context.png", "figures/context-dark.png"], "atlas": ["figures/atlas.png"]}
    add_pictures(store, files)
    return published(store, *OUTCOMES)


def add_pictures(store: Store, files: dict[str, list[str]]) -> None:
    folder = f"analysis/{LABEL}"
    entries = [
        {"name": name, "caption": f"a caption of {name}", "explanation": "", "files": listed}
        for name, listed in files.items()
    ]
    store.write_file(f"{folder}/figures.json", json.dumps(entries).encode())
    summary = json.loads(store.read_file(f"{folder}/summary.json"))
    summary["files"] += ["figures.json", *(file for listed in files.values() for file in listed)]
    store.write_file(f"{folder}/summary.json", json.dumps(summary).encode())


@pytest.mark.parametrize("name", ["index.html", f"{LABEL}/index.html"])
def test_the_page_is_whole_and_fetches_nothing(report, name):
    check_page(report / name)


def test_it_has_no_viewer_and_leads_to_no_page_that_is_not_there(report):
    assert not list(report.rglob("niivue*"))
    assert not list(report.rglob("viewer.js"))
    tree = parsed((report / "index.html").read_text())
    assert {one.get("href") for one in tree.iter("a") if not one.get("href").startswith("#")} == {
        f"{LABEL}/index.html"
    }
    chart = next(one.text for one in tree.iter("script") if one.get("id") == "scans-chart-1-spec")
    assert '"href"' not in chart


def test_scans_of_the_run_that_failed_come_first_with_their_reason(report):
    tree = parsed((report / "index.html").read_text())
    head, *rows = scans_in(tree)
    assert head[:4] == ["Scan", "This run", "Classes", "Seconds"]
    by_scan = {row[0]: row for row in rows}
    assert [row[0] for row in rows[:2]] == ["s9001", "s9002"]
    assert by_scan["s9001"][1:4] == ["failed", "0", "0.12"]
    assert by_scan["s9001"][-1] == "not explained: a truncated file"
    assert by_scan["s9002"][-1] == "not explained: no Hounsfield units"
    assert by_scan["s0001"][1:4] == ["explained", "6", "12.3"]
    assert by_scan[ODD][1] == "explained"
    assert by_scan[ODD][-1].endswith("; its slices are thick")
    assert by_scan["s0004"][1:4] == [DASH] * 3
    assert len(rows) == 14
    said = text_of(section(tree, "scans"))
    assert "This run explained 2 of 4 scans. 2 scans could not be explained" in said
    assert "4, of which 2 explained" in text_of(tree)


def test_a_run_without_failures_says_so_in_a_sentence(tmp_path):
    said = text_of(section(page_of(bare_store(tmp_path), OUTCOMES[0]), "scans"))
    assert "This run explained 1 of 1 scan." in said
    assert "could not be explained" not in said


def test_pictures_are_of_a_scan_of_the_run_and_those_of_the_analyses(report):
    tree = parsed((report / "index.html").read_text())
    pictures = {image.get("alt"): image.get("src") for image in section(tree, "pictures").iter("img")}
    assert [alt for alt in pictures if alt.startswith("s0001: ")] == [
        f"s0001: attribution of {name} on three planes" for name in ("aorta", "heart", "lung lower lobe left")
    ]
    assert pictures["a caption of atlas"] == f"../analysis/{LABEL}/figures/atlas.png"
    dark = [one.get("srcset") for one in section(tree, "pictures").iter("source")]
    assert dark == [f"../analysis/{LABEL}/figures/context-dark.png"]
    drawn = {path.name for path in (report / LABEL / "pictures").iterdir()}
    assert {"heat_map.png", "semantic_graph.png", "overlay_1.png", "overlay_2.png", "overlay_3.png"} <= drawn


def test_no_scans_or_pictures_still_make_a_page(tmp_path):
    tree = page_of(bare_store(tmp_path))
    (table,) = section(tree, "missing").iter("table")
    assert ["Pictures", "no analysis drew any.", "agg2exp analyse STORE"] in rows_of(table)
    assert scans_in(tree)[0] == ["Scan", "Reason"]


def test_scans_after_the_last_analysis_have_no_score_yet(tmp_path):
    store = analysed_store(tmp_path / "example")
    later = xr.concat([store.importance(LABEL), matrices(1, seed=9, first=50)], "scan", data_vars="minimal")
    store.write_importance(LABEL, later, store.global_importance(LABEL))
    tree = page_of(store)
    assert "Still without a score: 1 scan that came after" in text_of(section(tree, "scans"))
    assert "s0050" in {row[0] for row in scans_in(tree)}


def test_other_methods_are_linked_once_they_are_published(tmp_path):
    store = bare_store(tmp_path)
    for label in ("plain", "other"):
        store.register_label(label, "vanilla_gradient", {})
        store.write_importance(label, store.importance(LABEL), store.global_importance(LABEL))
    publish_report(store, RunSummary(store.uri, "plain", [], 3))
    tree = page_of(store)
    links = [one.get("href") for one in tree.iter("a") if not one.get("href").startswith("#")]
    assert sorted(links) == ["plain/index.html", f"{LABEL}/index.html"]


def test_the_report_in_a_folder_is_the_same_page(report, tmp_path):
    store = open_store(report.parent)
    write_report(store, [LABEL], tmp_path / "out", volumes="none")
    near, far = (parsed((folder / "index.html").read_text()) for folder in (report, tmp_path / "out"))
    assert [one.get("id") for one in near.iter("section")] == [one.get("id") for one in far.iter("section")]
    assert data_in(near, "matrix") == data_in(far, "matrix")
    for anchor in ("unusual", "matrix", "glance", "context", "drift", "quality", "patients", "next"):
        assert text_of(section(near, anchor)) == text_of(section(far, anchor))
    check_page(tmp_path / "out" / "index.html")


def test_hostile_names_stay_text(tmp_path):
    store = bare_store(tmp_path)
    store.register_model({"name": HOSTILE, "fingerprint": "f", HOSTILE: {HOSTILE: HOSTILE}})
    tree = page_of(store, ScanOutcome("s9", "failed", HOSTILE))
    texts = [one.text or "" for one in tree.iter("script") if one.get("type") != "application/json"]
    assert "alert(1)" not in "".join(texts)
    assert scans_in(tree)[1][-1] == f"not explained: {HOSTILE}"
    (table,) = section(tree, "provenance").iter("table")
    assert [f"model.{HOSTILE}.{HOSTILE}", HOSTILE] in rows_of(table)


def test_the_matrix_is_the_mean_in_percent(real_data: Path, tmp_path):
    local = published_local(real_data)
    mean = local["mass"].mean("scan")
    tree = page_of(write_store(tmp_path, local))
    table, *_ = section(tree, "matrix").iter("table")
    rows = {row[0]: row[1:] for row in rows_of(table)}
    for target in mean["target"].values:
        texts = rows[target.replace("_", " ")]
        shown = [0.0 if text.startswith("< 0.1") else float(text.split()[0]) for text in texts]
        np.testing.assert_allclose(shown, 100 * mean.sel(target=target).values, atol=0.051)


def cohort() -> xr.Dataset:
    """Two scans; the aorta is absent from the second, the ribs from both."""
    nan = np.nan
    names = ["background", "heart", "aorta", "ribs"]
    one = [[0.9, 0.06, 0.04, nan], [0.7, 0.2, 0.1, nan], [0.5, 0.3, 0.2, nan], [nan] * 4]
    two = [[0.9, 0.10, nan, nan], [0.6, 0.4, nan, nan], [nan] * 4, [nan] * 4]
    coords = {"scan": ["s1", "s2"], "target": names, "roi": names, "roi_kind": ("roi", ["class"] * 4)}
    return xr.Dataset({"mass": (("scan", "target", "roi"), [one, two])}, coords=coords)


def test_a_class_at_a_glance():
    heart, aorta, ribs = strongest(cohort()).itertuples()
    assert (heart.n, aorta.n, ribs.n) == (2, 1, 0)
    assert heart.own == pytest.approx(0.3)
    assert (heart.low, heart.high) == (0.2, 0.4)
    assert heart.others == [("aorta", pytest.approx(0.1))]
    assert aorta.background == pytest.approx(0.5)
    assert ribs.others == []


def test_missing_cells_are_dashes_and_absent_classes_are_told(tmp_path):
    tree = page_of(write_store(tmp_path, cohort()))
    table, *_ = section(tree, "matrix").iter("table")
    assert rows_of(table)[-1] == ["ribs", *[DASH] * 4]
    (table,) = section(tree, "glance").iter("table")
    assert rows_of(table)[-1] == ["ribs", "0", *[DASH] * 4, "not found in any scan"]
    said = text_of(section(tree, "glance"))
    assert "An example: of what explains heart, 30.0 % lies in the structure itself" in said


def test_one_scan_is_a_cohort_of_one(tmp_path):
    tree = page_of(write_store(tmp_path, matrices(1, seed=1)))
    (table,) = section(tree, "glance").iter("table")
    assert [row[1] for row in rows_of(table)[1:]] == ["1"] * (len(CLASSES) - 1)


def test_a_label_without_matrices_is_refused(tmp_path):
    store = bare_store(tmp_path)
    with pytest.raises(StoreError, match="'other'; allowed: smoothgrad"):
        publish_report(store, RunSummary(store.uri, "other", [], 0))


def test_of_many_scans_those_that_want_a_look_are_told_and_others_as_they_are_asked_for(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("agg2exp_core.report.scans.MOST_SCANS", 4)
    monkeypatch.setattr("agg2exp_core.report.cohort_page.MOST_SCANS", 4)
    monkeypatch.setattr("agg2exp_core.report.context.MOST_MARKS", 10)
    store = analysed_store(tmp_path / "example")
    scans = store.importance(LABEL)["scan"].values.tolist()
    assert len(scans) > 6
    usual = [scan for scan in scans if scan != ODD]
    write_report(store, [LABEL], tmp_path / "out", volumes="none", scans=usual[-1:])
    tree = parsed((tmp_path / "out/index.html").read_text())
    listed = [row[0] for row in scans_in(tree)[1:]]
    assert ODD in listed
    assert 4 <= len(listed) < len(scans)
    assert f"shows {len(listed)} of {len(scans)} scans" in text_of(section(tree, "scans"))
    drawn = [mark["scan"] for mark in data_in(tree, "scans")]
    assert ODD in drawn
    assert len(drawn) < len(scans)
    assert "percentile over scans" in text_of(section(tree, "context"))
    pages = {path.stem for path in (tmp_path / "out" / LABEL / "scans").iterdir()}
    assert pages >= {ODD, usual[-1]}
    assert len(pages) < len(scans)
    with pytest.raises(UsageError, match="--scan"):
        write_report(store, [LABEL], tmp_path / "out", scans=["nobody"])
