"""The folder of pages: what it says is what the store holds; nothing is fetched; names stay text."""

import base64
import gzip
import hashlib
import json
import re
from importlib.resources import files

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from agg2exp_cli.__main__ import run
from agg2exp_core.errors import UsageError
from agg2exp_core.report.cohort_page import write_report
from agg2exp_core.report.output import ReportFolder
from agg2exp_core.report.sections import (
    Chart,
    Choice,
    Column,
    DataTable,
    Link,
    Page,
    Picture,
    Section,
    Viewer,
)
from tests.analysis.example import CLASSES, LABEL, ODD
from tests.report.making import SHAPE, WITH_VOLUMES, analysed_store, bare_store, written
from tests.report.reading import check_page, data_in, parsed, rows_of, section, text_of

HOSTILE = "</script><script>alert(1)</script>\"'&"
SPACE = "\N{NO-BREAK SPACE}"


@pytest.fixture(scope="module")
def analysed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    store = analysed_store(folder / "example")
    return store, written(store, folder / "out")


def test_every_page_is_whole_and_fetches_nothing(analysed):
    _, out = analysed
    pages = sorted(out.rglob("*.html"))
    assert len(pages) == 13
    for path in pages:
        check_page(path)


def test_own_scripts_and_style_name_no_address(analysed):
    _, out = analysed
    for name in ("page.js", "viewer.js", "report.css"):
        assert not re.search(
            r"https?:|//[a-z]+\.|@import|url\(|innerHTML", (out / "assets" / name).read_text()
        )


def test_the_matrix_is_the_stores(analysed):
    store, out = analysed
    mean = store.importance(LABEL)["mass"].mean("scan")
    tree = parsed((out / "index.html").read_text())
    cells = data_in(tree, "matrix")
    drawn = {(c["class"], c["roi"]): c["value"] for c in cells if c["variable"] == "mass"}
    assert len(drawn) == mean.size
    for (target, roi), value in drawn.items():
        assert value == pytest.approx(float(mean.sel(target=target, roi=roi)), abs=1e-9)
    rows = [text_of(row) for row in section(tree, "matrix").iter("tr")]
    heart = [f"{100 * value:.1f}{SPACE}%" for value in mean.sel(target="heart").values]
    assert " ".join(["heart", *" ".join(heart).split()]) in rows


def test_flagged_scans_come_first_with_their_reason(analysed):
    store, out = analysed
    scores = pd.read_csv(f"{store.uri}/analysis/{LABEL}/scans.csv")
    reasons = pd.read_csv(f"{store.uri}/analysis/{LABEL}/reasons.csv")
    tree = parsed((out / "index.html").read_text())
    rows = [text_of(row) for row in section(tree, "scans").iter("tr")][1:]
    flagged = scores.loc[scores["flagged"]].sort_values("score", ascending=False)
    assert ODD in set(flagged["scan"])
    for row, scan in zip(rows, flagged["scan"], strict=False):
        assert row.startswith(f"{scan} flagged")
        assert row.endswith(reasons.loc[reasons["scan"] == scan, "sentence"].iloc[0])
    assert len(rows) == 12
    assert sum(" flagged " in row for row in rows) == len(flagged)
    page = parsed((out / f"{LABEL}/scans/{ODD}.html").read_text())
    said = text_of(section(page, "flags"))
    assert "handled this scan abnormally" in said
    assert "large pleural effusion" in said
    assert reasons.loc[reasons["scan"] == ODD, "sentence"].iloc[0] in said


def test_a_scans_row_stands_beside_the_normal_range(analysed):
    store, out = analysed
    normal = pd.read_csv(f"{store.uri}/analysis/{LABEL}/normal.csv").set_index(["class", "roi"])
    mass = store.importance(LABEL)["mass"].sel(scan=ODD)
    rows = data_in(parsed((out / f"{LABEL}/scans/{ODD}.html").read_text()), "row")
    assert len(rows) == mass.size
    for row in rows:
        share = float(mass.sel(target=row["class"], roi=row["roi"]))
        usual = normal.loc[(row["class"], row["roi"])]
        assert (row["share"], row["q05"], row["q95"]) == pytest.approx(
            (share, usual["q05"], usual["q95"]), abs=1e-9
        )
        place = "above" if share > usual["q95"] else "below" if share < usual["q05"] else "in the range"
        assert row["place"] == place
    assert next(r for r in rows if (r["class"], r["roi"]) == ("heart", "ribs"))["place"] == "above"


def test_the_first_section_says_which_scans_which_organ_and_why(analysed):
    store, out = analysed
    reasons = pd.read_csv(f"{store.uri}/analysis/{LABEL}/reasons.csv")
    tree = parsed((out / "index.html").read_text())
    assert next(tree.iter("section")).get("id") == "first"
    (table,) = section(tree, "first").iter("table")
    head, *rows = rows_of(table)
    assert head == ["Scan", "Organ", "Why"]
    scores = pd.read_csv(f"{store.uri}/analysis/{LABEL}/scans.csv").query("flagged")
    assert [row[0] for row in rows] == scores.sort_values("score", ascending=False)["scan"].tolist()
    for scan, organ, why in rows:
        first = reasons[reasons["scan"] == scan].iloc[0]
        assert (organ, why) == (first["class"], first["sentence"])


def test_a_flagged_scan_opens_on_its_first_reason(analysed):
    store, out = analysed
    page = (out / f"{LABEL}/scans/{ODD}.html").read_text()
    tree = parsed(page)
    (list_of_classes,) = [one for one in tree.iter("select") if one.get("id") == "choice-explained"]
    assert next(list_of_classes.iter("option")).get("value") == "heart"
    told = json.loads(next(one.text for one in tree.iter("script") if one.get("id") == "viewer-data"))
    assert told["first"]["name"] == "heart"
    prediction, affine = store.scan(ODD).prediction(), store.scan(ODD).image().affine
    voxel = np.rint(np.linalg.inv(affine) @ [*told["first"]["centre_mm"], 1])[:3].astype(int)
    assert prediction.class_names[prediction.labels[tuple(voxel)]] == "ribs"
    assert "It opens on the first reason: 38% of what explains heart lies in ribs" in page


def test_volumes_are_the_stores_in_steps(analysed):
    store, out = analysed
    there = store.scan(ODD)
    label_map = volume_in(out, f"volumes/{ODD}/prediction.js")[0]
    np.testing.assert_array_equal(np.asanyarray(label_map.dataobj), there.prediction().labels)
    np.testing.assert_allclose(label_map.affine, there.image().affine)
    image, _ = volume_in(out, f"volumes/{ODD}/image.js")
    assert np.corrcoef(image.get_fdata().ravel(), there.image().image.numpy().ravel())[0, 1] > 0.999
    values = np.asarray(there.attribution(LABEL, "heart").compute())
    packed, told = volume_in(out, f"volumes/{ODD}/{LABEL}/heart.js")
    shown = packed.get_fdata() * told["unit"]
    strong = np.abs(values) >= np.percentile(np.abs(values), 80)
    assert not shown[~strong].any()
    clipped = np.clip(values, -127 * told["unit"], 127 * told["unit"])
    np.testing.assert_allclose(shown[strong], clipped[strong], atol=0.51 * told["unit"])
    for share, threshold in zip((1, 2, 5, 10, 20), told["thresholds"], strict=True):
        assert np.mean(np.abs(values) > threshold * told["unit"]) == pytest.approx(share / 100, abs=2e-3)


def volume_in(out, address: str):
    call = (out / address).read_text()
    key, told = re.fullmatch(r"agg2exp\.deliver\((\".*?\"), (\{.*\})\);\n", call).groups()
    assert json.loads(key) == address
    told = json.loads(told)
    return nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(told["nifti"]))), told


def test_the_viewer_knows_every_class_and_where_it_is(analysed):
    store, out = analysed
    tree = parsed((out / f"{LABEL}/scans/{ODD}.html").read_text())
    (script,) = [one for one in tree.iter("script") if one.get("id") == "viewer-data"]
    told = json.loads(script.text)
    assert [one["name"] for one in told["classes"]] == list(CLASSES)
    prediction, affine = store.scan(ODD).prediction(), store.scan(ODD).image().affine
    for one in told["classes"]:
        voxel = np.rint(np.linalg.inv(affine) @ [*one["centre_mm"], 1])[:3].astype(int)
        assert prediction.class_names[prediction.labels[tuple(voxel)]] == one["name"]
    assert told["bounds_mm"] == [[-4.0 * (SHAPE[0] - 1), 0.0], [0.0, 4.0 * 19], [0.0, 5.0 * 15]]


def test_scans_without_volumes_say_so(analysed):
    _, out = analysed
    assert {path.parent.name for path in out.rglob("image.js")} == set(WITH_VOLUMES)
    page = (out / f"{LABEL}/scans/s0002.html").read_text()
    assert "holds no voxels" in page
    assert "niivue" not in page


def test_volumes_of_flagged_scans_alone(analysed, tmp_path):
    store, _ = analysed
    write_report(store, [LABEL], tmp_path / "out", volumes="flagged")
    assert {path.parent.name for path in (tmp_path / "out").rglob("image.js")} == {ODD}
    with pytest.raises(UsageError, match="all, flagged, none"):
        write_report(store, [LABEL], tmp_path / "other", volumes="some")


def test_a_store_without_analyses_has_a_report_that_says_what_is_missing(tmp_path):
    out = written(bare_store(tmp_path / "store"), tmp_path / "out")
    tree = parsed((out / "index.html").read_text())
    anchors = {one.get("id") for one in tree.iter("section")}
    assert {"drift", "quality", "benchmark"}.isdisjoint(anchors)
    (table,) = section(tree, "missing").iter("table")
    missing = {part: row for row in rows_of(table)[1:] for part in row[0].split(", ")}
    for title, command in (
        ("Which scans first", "agg2exp analyse STORE"),
        ("Drift", "agg2exp analyse STORE --reference REFERENCE"),
        ("Agreement with quality", "agg2exp analyse STORE --dice DICE.csv"),
        ("Benchmark of methods", "agg2exp benchmark SCANS --model MODEL --out STORE"),
    ):
        assert missing[title][1:] in (
            ["the store has not been analysed yet.", command],
            ["no benchmark of attribution methods was run on these scans.", command],
        )
    assert "No scan is ranked" in text_of(section(tree, "first"))
    assert data_in(tree, "context")
    page = parsed((out / f"{LABEL}/scans/s0000.html").read_text())
    assert {row["place"] for row in data_in(page, "row")} == {"too few scans to say"}


def test_hostile_names_stay_text(tmp_path):
    frame = pd.DataFrame({"class": [HOSTILE], "text": [HOSTILE], HOSTILE: [0.5]})
    columns = [Column("class", HOSTILE, "class"), Column("text", HOSTILE), Column(HOSTILE, HOSTILE, "share")]
    everything = Section(
        "one",
        HOSTILE,
        text=[HOSTILE],
        choices=[Choice("order", HOSTILE, {HOSTILE: HOSTILE})],
        charts=[Chart({"data": HOSTILE}, HOSTILE)],
        pictures=[Picture("a b%.png", HOSTILE, HOSTILE)],
        tables=[DataTable(HOSTILE, columns, frame, links={HOSTILE: HOSTILE}, filter_by="class")],
    )
    sections = [everything, Section("volume", "Volume")]
    links = [Link(HOSTILE, HOSTILE)]
    with ReportFolder(tmp_path / "out") as folder:
        page = Page(HOSTILE, {HOSTILE: HOSTILE}, links, sections, [HOSTILE], Viewer({"scan": HOSTILE}))
        folder.write_page("scans/x.html", page)
    tree = parsed((tmp_path / "out/scans/x.html").read_text())
    assert "alert(1)" not in "".join(
        one.text or "" for one in tree.iter("script") if one.get("type") != "application/json"
    )
    assert json.loads(next(s.text for s in tree.iter("script") if s.get("id") == "viewer-data")) == {
        "scan": HOSTILE
    }
    assert text_of(next(tree.iter("h1"))) == HOSTILE
    assert next(tree.iter("img")).get("src") == "../a%20b%25.png"
    assert text_of(list(tree.iter("tr"))[1]) == f"{HOSTILE} {HOSTILE} 50.0 %"


def test_bundled_scripts_are_those_on_record():
    vendor = files("agg2exp_core.report") / "vendor"
    for entry in json.loads((vendor / "packages.json").read_text()):
        content = (vendor / entry["file"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["bytes"], entry["sha256"])
        licence = (vendor / "licences" / f"{entry['file']}.txt").read_text()
        assert "Redistribution and use in source and binary forms" in licence


def fail_halfway(out) -> None:
    with ReportFolder(out) as folder:
        folder.write("half.html", b"half")
        raise ZeroDivisionError


def test_another_folder_is_left_alone_and_an_earlier_report_replaced(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="earlier report"):
        ReportFolder(tmp_path / "other")
    out = tmp_path / "out"
    with ReportFolder(out) as folder:
        folder.write("old.html", b"old")
    with pytest.raises(ZeroDivisionError):
        fail_halfway(out)
    assert (out / "old.html").exists()
    assert not (out / "half.html").exists()
    with ReportFolder(out):
        pass
    assert not (out / "old.html").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "out"]


def test_the_command_says_where_the_report_is(tmp_path, capsys):
    store = bare_store(tmp_path / "store")
    assert run(["report", store.uri, "--out", str(tmp_path / "out")]) == 0
    assert f"file://{tmp_path}/out/index.html" in "".join(capsys.readouterr().out.splitlines())
    assert run(["report", store.uri, "--out", str(tmp_path / "out"), "--label", "shap"]) == 2
    assert "shap" in capsys.readouterr().err
    assert run(["report", str(tmp_path / "none"), "--out", str(tmp_path / "none_out")]) == 2
    assert not (tmp_path / "none_out").exists()
