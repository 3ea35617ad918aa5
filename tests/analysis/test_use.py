"""What is refused before anything runs; what is raised, and for what only."""

import io
import json

import numpy as np
import pandas as pd
import pytest
import torch

import agg2exp.tasks.analyse
from agg2exp.tasks.analyse import DRIFTED, FLAGGED, UNSURE, announce, find
from agg2exp_cli.__main__ import run
from agg2exp_core.pipeline.settings import AnalyseSettings
from agg2exp_core.report.cohort_page import write_report
from agg2exp_core.types import Grid, Scan
from tests.analysis.example import (
    CLASSES,
    LABEL,
    LACKS_TRACHEA,
    ODD,
    matrices,
    write_cohorts,
    write_doubts,
    write_store,
)


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory):
    return write_cohorts(tmp_path_factory.mktemp("use"))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--method", "other"], "--label"),
        (["--detector", "guess"], "--detector"),
        (["--rate", "2"], "--rate"),
        (["--poor", "0"], "--poor"),
        (["--reference", "nowhere"], "nowhere"),
        (["--dice", "strange.csv"], "--dice"),
        (["--metadata", "missing.csv"], "--metadata"),
        (["--reports", "strange.json"], "--reports"),
        (["--reference", "of_other_classes"], "--reference"),
    ],
)
def test_wrong_use_is_one_sentence_before_anything_runs(
    cohorts, tmp_path, monkeypatch, capsys, options, named
):
    store, _, _ = cohorts
    monkeypatch.chdir(tmp_path)
    (tmp_path / "strange.csv").write_text(f"scan,{CLASSES[1]}\nx1,0.9\n")
    (tmp_path / "strange.json").write_text('{"x1": "text"}')
    write_store(tmp_path / "of_other_classes", matrices(20, seed=1).isel(target=[0, 1], roi=[0, 1]))
    assert run(["analyse", store.uri, *options]) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("error: ")
    assert named in said
    assert len(said.splitlines()) == 1


@pytest.fixture
def raised(monkeypatch):
    """Events and artifacts, with no server to take them."""
    told = []
    monkeypatch.setattr(agg2exp.tasks.analyse, "emit_event", lambda **event: told.append(event))
    monkeypatch.setattr(agg2exp.tasks.analyse, "create_table_artifact", lambda **table: told.append(table))
    return told


def test_each_flagged_scan_is_raised_once(cohorts, raised):
    store, reference, files = cohorts
    settings = AnalyseSettings(
        store=store.uri, label=LABEL, reference=reference.uri, reports=files["reports"]
    )
    assert announce.fn(settings, find.fn(settings)) == 2
    events = [told for told in raised if "event" in told]
    assert {event["event"] for event in events} == {FLAGGED}
    assert {event["resource"]["prefect.resource.id"] for event in events} == {
        f"agg2exp.scan.{scan}" for scan in (ODD, LACKS_TRACHEA)
    }
    (odd,) = [event["payload"] for event in events if event["payload"]["scan"] == ODD]
    assert "38% of what explains heart lies in ribs" in odd["reasons"]
    flagged = next(told["table"] for told in raised if told.get("key", "").startswith("flagged"))
    assert {row["scan"] for row in flagged} == {ODD, LACKS_TRACHEA}
    assert "effusion" not in str(raised), "texts of reports stay in the store"
    raised.clear()
    assert announce.fn(settings, find.fn(settings)) == 0
    assert not [told for told in raised if "event" in told]


def test_a_scan_of_which_the_model_is_unsure_is_raised_as_such(tmp_path, raised):
    store, reference, _ = write_cohorts(tmp_path)
    unsure = ("s0007",)
    write_doubts(store, unsure)
    write_doubts(reference)
    settings = AnalyseSettings(store=store.uri, label=LABEL, reference=reference.uri)
    summary = find.fn(settings)
    assert (summary["n_flagged"], summary["n_unsure"]) == (2, 1)
    announce.fn(settings, summary)
    (event,) = [told for told in raised if told.get("event") == UNSURE]
    assert event["resource"]["prefect.resource.id"] == "agg2exp.scan.s0007"
    told = event["payload"]
    assert (told["abnormal"], told["entropy"], told["p_entropy"]) == (False, 0.9, pytest.approx(1 / 25))
    scans = pd.read_csv(io.BytesIO(store.read_file(f"analysis/{LABEL}/scans.csv"))).set_index("scan")
    assert scans.index[scans["unsure"]].tolist() == ["s0007"]
    write_report(store, [LABEL], tmp_path / "report")
    page = (tmp_path / "report" / "index.html").read_text()
    assert "The prediction is unusually uncertain in 1 of 12 scans" in page
    for scan, is_told in (("s0007", True), ("s0008", False)):
        page = (tmp_path / "report" / LABEL / "scans" / f"{scan}.html").read_text()
        assert ("unusually uncertain in this scan" in page) is is_told


def test_drift_is_raised_by_the_look_that_finds_it(tmp_path, raised):
    odd = tuple(f"s{n:04d}" for n in range(14))
    store = write_store(tmp_path / "store", matrices(14, seed=1, odd=odd))
    reference = write_store(tmp_path / "reference", matrices(24, seed=2, first=100))
    settings = AnalyseSettings(store=store.uri, label=LABEL, reference=reference.uri)
    summary = find.fn(settings)
    assert summary["drift"] is True
    announce.fn(settings, summary)
    (event,) = [told for told in raised if told.get("event") == DRIFTED]
    assert event["payload"]["n_scans"] == 14
    assert event["payload"]["p_value"] <= 0.01
    assert find.fn(settings)["drift"] is None


def test_the_same_scans_by_another_model_are_compared_in_pairs(tmp_path):
    one = write_store(tmp_path / "one", matrices(8, seed=1))
    two = write_store(tmp_path / "two", matrices(8, seed=2))
    for store, name in ((one, "first"), (two, "second")):
        store.register_model({"name": name, "fingerprint": name})
    settings = AnalyseSettings(store=one.uri, label=LABEL, reference=two.uri)
    summary = find.fn(settings)
    assert (summary["paired"], summary["n_reference"], summary["drift"]) == (True, 0, None)
    distance = json.loads(one.read_file(f"analysis/{LABEL}/distance.json"))
    assert (distance["paired"], distance["n_first"]) == (True, 8)
    table = pd.read_csv(io.BytesIO(one.read_file(f"analysis/{LABEL}/comparison.csv")))
    assert len(table) == len(CLASSES) ** 2


def test_another_scan_of_the_same_id_stays_in_the_reference(tmp_path):
    store = write_store(tmp_path / "store", matrices(5, seed=1))
    reference = write_store(tmp_path / "reference", matrices(30, seed=2))
    for scan, ours, theirs in (("s0001", "a", "a"), ("s0002", "a", "b"), ("s0003", "b", "c")):
        for there, content in ((store, ours), (reference, theirs)):
            image, grid = torch.zeros(1, 2, 2, 2), Grid((2, 2, 2), np.eye(4))
            there.scan(scan).write_image(Scan(scan, image, grid.affine, grid, content * 64))
    assert (
        find.fn(AnalyseSettings(store=store.uri, label=LABEL, reference=reference.uri))["n_reference"]
        == 30 - 3
    )


def test_a_reference_of_the_same_model_is_judged_without_the_scans_themselves(tmp_path):
    store = write_store(tmp_path / "store", matrices(5, seed=1))
    reference = write_store(tmp_path / "reference", matrices(30, seed=1))
    assert (
        find.fn(AnalyseSettings(store=store.uri, label=LABEL, reference=reference.uri))["n_reference"] == 25
    )
