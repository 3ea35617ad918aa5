"""How a batch is cut, and how outcomes of the parts of a scan add up."""

import pytest

from agg2exp.flows.partition import by_class, by_scan, merged
from agg2exp_core.pipeline.outcomes import ScanJob, ScanOutcome
from agg2exp_core.pipeline.settings import ExplainSettings
from tests.flows.cohort import CLASS_NAMES, write_model

JOBS = [ScanJob(f"s{n}", f"/s{n}.nii.gz") for n in range(5)]


@pytest.fixture
def settings(tmp_path):
    model = write_model(tmp_path / "model")
    return ExplainSettings(store=str(tmp_path / "store"), model=str(model), method="smoothgrad", device="cpu")


def test_parts_of_some_scans_hold_every_scan_once():
    parts = by_scan(JOBS, 2, {"a": 1})
    assert [[job.scan_id for job in part.scans] for part in parts] == [["s0", "s1"], ["s2", "s3"], ["s4"]]
    assert all(part.settings == {"a": 1} for part in parts)
    assert by_scan([], 2, {}) == []


@pytest.mark.parametrize(("n_scans", "n_workers", "n_parts"), [(1, 3, 3), (2, 5, 4), (1, 9, 4), (2, 3, 2)])
def test_a_scan_is_cut_by_classes_while_workers_would_be_idle(settings, n_scans, n_workers, n_parts):
    parts = by_class(JOBS[:n_scans], settings, n_workers)
    assert len(parts) == n_parts
    for job in JOBS[:n_scans]:
        of_scan = [part.settings["classes"] or CLASS_NAMES for part in parts if part.scans == (job,)]
        assert sorted(name for names in of_scan for name in names) == sorted(CLASS_NAMES)
    assert all({**part.settings, "classes": None} == settings.model_dump(mode="json") for part in parts)


def test_a_method_of_one_game_for_all_classes_is_not_cut(settings):
    assert len(by_class(JOBS[:1], settings.model_copy(update={"method": "shapley_semantic"}), 4)) == 1


def test_wanted_classes_alone_are_shared_out(settings):
    parts = by_class(JOBS[:1], settings.model_copy(update={"classes": ["left", "right"]}), 4)
    assert [part.settings["classes"] for part in parts] == [["left"], ["right"]]


def test_a_scan_is_done_when_all_its_parts_are():
    done = [ScanOutcome("a", "done", n_classes=4, n_computed=n, n_kept=1, seconds=n) for n in (1, 2)]
    failed = ScanOutcome("b", "failed", "no room")
    outcomes = merged([done[0], ScanOutcome("b", "done"), done[1], failed])
    assert outcomes == [ScanOutcome("a", "done", "", 4, 3, 2, 2), failed]
