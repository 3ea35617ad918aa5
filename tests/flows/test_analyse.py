"""The command and flow `analyse`: findings as files, what is new, what is refused, events."""

import io
import json
import time

import pandas as pd
import pytest
from prefect.automations import Automation
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.events.actions import PauseWorkPool
from prefect.events.schemas.automations import EventTrigger, Posture

from agg2exp.tasks.analyse import DRIFTED, FLAGGED
from agg2exp_cli.__main__ import run
from agg2exp_core.importance import to_table
from agg2exp_core.store import open_store
from tests.analysis.example import LABEL, LACKS_TRACHEA, ODD, matrices, write_cohorts, write_store

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory):
    return write_cohorts(tmp_path_factory.mktemp("analyse"))


@pytest.fixture(scope="module")
def analysed(cohorts, prefect_server):
    store, reference, files = cohorts
    command = ["analyse", store.uri, "--reference", reference.uri, "--metadata", files["meta"]]
    command += ["--dice", files["dice"], "--reports", files["reports"], "--no-figures"]
    assert run(command) == 0
    return store, command


def found(store, name):
    content = store.read_file(f"analysis/{LABEL}/{name}")
    return pd.read_csv(io.BytesIO(content)) if name.endswith(".csv") else json.loads(content)


def test_every_finding_is_a_file_that_the_summary_lists(analysed):
    store, _ = analysed
    summary = found(store, "summary.json")
    assert summary["skipped"] == {"unsure": "the store holds no entropy of its predictions"}
    assert {option: said[0] for option, said in summary["told"].items()} == dict.fromkeys(
        ("--dice", "--metadata", "--reports"), "matched 12 of 12 scans"
    )
    assert (summary["n_scans"], summary["n_reference"], summary["paired"]) == (12, 24, False)
    tables = "scans outliers reasons candidates context matrices normal quality agreement detection"
    tables += " groups comparison words"
    documents = ("clusters", "distance", "drift", "reports")
    expected = {f"{name}.csv" for name in tables.split()} | {f"{name}.json" for name in documents}
    assert set(summary["files"]) == expected
    assert all(len(found(store, name)) > 0 for name in expected)
    flagged = found(store, "scans.csv").query("flagged")
    assert set(flagged["scan"]) == {ODD, LACKS_TRACHEA}
    assert set(found(store, "reports.json")) == {ODD, LACKS_TRACHEA}
    assert set(found(store, "normal.csv")["n"]) == {24}
    medians = found(store, "matrices.csv").set_index(["variable", "class", "roi"])["median"]
    local = store.importance(LABEL)["mass"].sel(target="heart", roi="ribs")
    assert medians[("mass", "heart", "ribs")] == pytest.approx(float(local.median()))


def test_a_second_look_finds_nothing_new(analysed, capsys):
    store, command = analysed
    looks = found(store, "drift.json")["looks"]
    assert len(looks) == 1
    assert run(command) == 0
    assert ODD in capsys.readouterr().out
    assert found(store, "drift.json")["looks"] == looks
    assert not found(store, "scans.csv")["new"].any()
    assert found(store, "summary.json")["drift"] is None


def test_a_folder_of_other_things_is_no_place_for_a_report(cohorts, tmp_path, capsys):
    store, _, _ = cohorts
    (tmp_path / "thesis.tex").touch()
    assert run(["analyse", store.uri, "--report", str(tmp_path), "--no-figures"]) == 2
    assert "a folder with other things in it" in capsys.readouterr().err


def test_what_lacks_its_input_is_gone_and_too_few_scans_are_told(cohorts, capsys):
    store, _, _ = cohorts
    assert run(["analyse", store.uri, "--no-figures"]) == 0
    assert "no outliers: store: 12 scans; allowed: at least 20" in capsys.readouterr().out
    assert {"agreement.csv", "comparison.csv", "scans.csv"}.isdisjoint(found(store, "summary.json")["files"])
    assert not store.root.get(f"analysis/{LABEL}/scans.csv")


def test_an_imported_table_gives_the_matrices_back(tmp_path, capsys):
    local = matrices(6, seed=4)
    table = tmp_path / "table.csv"
    to_table(local.assign(variance=local["mean"], norm=local["mass"].sum("roi"))).to_csv(table, index=False)
    uri = str(tmp_path / "store")
    assert run(["analyse", uri, "--import-csv", str(table), "--no-figures"]) == 0
    kept = open_store(uri).importance(LABEL)["mass"]
    pd.testing.assert_frame_equal(
        kept.sel(target="heart").to_pandas(), local["mass"].sel(target="heart").to_pandas(), check_names=False
    )
    table.write_text(table.read_text().replace("s0000", "s0009"))
    assert run(["analyse", uri, "--import-csv", str(table)]) == 2
    assert capsys.readouterr().err.startswith("error: --label")


def test_pictures_are_drawn_light_and_dark_and_the_report_is_linked(tmp_path):
    few = matrices(4, seed=1).isel(target=[0, 2], roi=[0, 2])
    store = write_store(tmp_path / "store", few)
    report = tmp_path / "report"
    url = "https://reports.example/agg2exp/"
    assert run(["analyse", store.uri, "--report", str(report), "--report-url", url]) == 0
    with get_client(sync_client=True) as client:
        (link,) = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(like_=f"report-{LABEL}%"))
        )
    assert link.data == f"[{LABEL}: report of 4 scans]({url}index.html)"
    assert (report / "index.html").is_file()
    assert (report / LABEL / "pictures" / "matrix_signed-dark.png").is_file()
    summary, pictures = found(store, "summary.json"), found(store, "figures.json")
    names = {picture["name"] for picture in pictures}
    assert {"matrix", "matrix_signed", "graph", "row_heart", "panels", "context"} <= names
    for picture in pictures:
        assert picture["caption"]
        assert len(picture["files"]) == 5
        assert set(picture["files"]) <= set(summary["files"])
        for file in picture["files"]:
            start = store.read_file(f"analysis/{LABEL}/{file}")[:300]
            begins = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}
            assert start.startswith(begins[file[-4:]])


@pytest.mark.service
def test_flagged_scans_and_drift_reach_an_automation(tmp_path):
    """Two automations that pause a pool each; the odd cohort flags scans and drifts."""
    odd = tuple(f"s{n:04d}" for n in range(14))
    store = write_store(tmp_path / "store", matrices(14, seed=1, odd=odd))
    reference = write_store(tmp_path / "reference", matrices(24, seed=2, first=100))
    with get_client(sync_client=True) as client:
        pools = {}
        for event in (FLAGGED, DRIFTED):
            name = event.replace(".", "-")
            pools[event] = client.create_work_pool(WorkPoolCreate(name=name, type="process"))
            Automation(
                name=name,
                trigger=EventTrigger(expect={event}, posture=Posture.Reactive, threshold=1),
                actions=[PauseWorkPool(work_pool_id=pools[event].id)],
            ).create()
        time.sleep(5)  # until the server's triggers know them
        assert run(["analyse", store.uri, "--reference", reference.uri, "--no-figures"]) == 0
        assert found(store, "summary.json")["drift"] is True
        deadline = time.monotonic() + 60
        for pool in pools.values():
            while not client.read_work_pool(pool.name).is_paused:
                assert time.monotonic() < deadline, f"{pool.name} was not paused"
                time.sleep(1)
