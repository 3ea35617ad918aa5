"""A relative path means the folder where it was written, or is refused: never that of a worker."""

import pytest

import agg2exp.flows.places
from agg2exp.flows.places import require_places
from agg2exp_core.errors import UsageError
from agg2exp_core.pipeline.outcomes import ScanOutcome, seen
from agg2exp_core.pipeline.settings import AnalyseSettings, ExplainSettings


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_model").mkdir()
    return ExplainSettings(store="results", model="own_model", rois="s3://bucket/rois")


def test_paths_become_those_of_this_folder_and_addresses_and_names_stay(settings, tmp_path):
    placed = settings.placed()
    assert placed.store == str(tmp_path / "results")
    assert placed.model == str(tmp_path / "own_model")
    assert placed.rois == "s3://bucket/rois"
    assert placed.relative_places() == {}
    assert ExplainSettings(store="/data", model="thorax_phantom").placed().model == "thorax_phantom"
    assert ExplainSettings(store="/data", model="lab.nets:make").relative_places() == {}


def test_a_run_of_a_deployment_refuses_relative_paths(settings, monkeypatch):
    require_places(settings)  # in the folder of the command
    monkeypatch.setattr(agg2exp.flows.places.deployment, "get_id", lambda: "a deployment", raising=False)
    with pytest.raises(UsageError, match=r"^--out: results, a relative path"):
        require_places(settings)
    with pytest.raises(UsageError, match=r"^scans: new, a relative path"):
        require_places(settings.placed(), ["/data/old", "new"])
    with pytest.raises(UsageError, match=r"^reference: base"):
        require_places(AnalyseSettings(store="/data", reference="base"))
    require_places(settings.placed(), ["/data/old", "s3://bucket/new"])


def test_a_scan_counts_as_done_only_where_its_results_are_seen():
    told = [
        ScanOutcome("a", "done", n_classes=3),
        ScanOutcome("b", "done"),
        ScanOutcome("c", "failed", "bad"),
    ]
    one, other, failed = seen(told, ["a", "z"], "/mnt/store")
    assert one == told[0]
    assert failed == told[2]
    assert other.status == "failed"
    assert "/mnt/store as this machine sees it holds no result of it" in other.reason
