"""How a batch is cut, how its runs are sent and awaited, and how outcomes of the parts of a scan add up."""

import logging
from contextlib import nullcontext
from dataclasses import asdict
from types import SimpleNamespace
from uuid import uuid4

import pytest
from prefect.states import Crashed, Running

from agg2exp.flows import fan_out
from agg2exp.flows.partition import LEAST_S, by_class, by_scan, guided_size, merged, take
from agg2exp_core.pipeline.outcomes import ScanJob, ScanOutcome
from agg2exp_core.pipeline.settings import ExplainSettings
from tests.flows.cohort import CLASS_NAMES, write_model

JOBS = [ScanJob(f"s{n}", f"/s{n}.nii.gz") for n in range(5)]


@pytest.fixture
def settings(tmp_path):
    model = write_model(tmp_path / "model")
    return ExplainSettings(store=str(tmp_path / "store"), model=str(model), method="smoothgrad", device="cpu")


def test_parts_of_some_scans_hold_every_scan_once():
    left, taken = by_scan(JOBS, {"a": 1}), []
    while left:
        part, left = take(left, 2)
        taken.append(part)
    assert [[job.scan_id for job in part.scans] for part in taken] == [["s0", "s1"], ["s2", "s3"], ["s4"]]
    assert all(part.settings == {"a": 1} for part in taken)
    assert by_scan([], {}) == []


def test_parts_of_other_settings_are_not_joined():
    parts = [*by_scan(JOBS[:2], {"a": 1}), *by_scan(JOBS[2:3], {"a": 2})]
    part, left = take(parts, 9)
    assert (part.scans, left) == (tuple(JOBS[:2]), parts[2:])


def cuts(n_scans, n_workers, seconds):
    left = n_scans
    while left:
        size = guided_size(left, n_workers, [seconds] if left < n_scans else [])
        yield size
        left -= size


def test_runs_shrink_as_a_batch_goes_on_and_each_works_for_a_minute():
    sizes = list(cuts(300, 2, 5.0))
    assert sum(sizes) == 300
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 75
    n_before = [sum(sizes[n:]) for n in range(len(sizes))]
    assert all(
        size * 5 >= LEAST_S for size, left in zip(sizes, n_before, strict=True) if left * 5 > 2 * LEAST_S
    )


@pytest.mark.parametrize(("n_scans", "n_workers", "seconds"), [(300, 2, 5.0), (40, 4, 120.0), (1000, 8, 5.0)])
def test_nine_tenths_of_the_time_are_spent_on_scans(n_scans, n_workers, seconds):
    """By simulation: a process takes 8 s to start, and whoever is free first takes the next run."""
    free = [0.0] * n_workers
    for size in cuts(n_scans, n_workers, seconds):
        first = min(range(n_workers), key=free.__getitem__)
        free[first] += 8 + size * seconds
    assert n_scans * seconds / n_workers / max(free) > 0.9


def test_long_scans_go_one_by_one_at_the_end():
    assert list(cuts(5, 4, 600.0)) == [1] * 5


class Server:
    """Answers as a Prefect server whose workers end all runs at once."""

    def __init__(self, monkeypatch, end, before=()):
        self.sent, self._end, self._runs = [], end, {run.id: run for run in before}
        monkeypatch.setattr(fan_out, "get_client", lambda sync_client: nullcontext())
        monkeypatch.setattr(fan_out, "get_run_logger", lambda: logging.getLogger("test"))
        monkeypatch.setattr(fan_out, "n_at_once", lambda client, pool: 1)
        monkeypatch.setattr(fan_out, "_of_this_batch", lambda client: before)
        monkeypatch.setattr(fan_out, "_submit", self._submit)
        monkeypatch.setattr(fan_out, "_read", lambda client, ids: [self._runs[run_id] for run_id in ids])

    def _submit(self, deployment, part, queue):
        self.sent.append([job.scan_id for job in part.scans])
        run = run_of(part.scans, part.settings, self._end(part, len(self.sent)))
        self._runs[run.id] = run
        return run.id


def run_of(jobs, settings, state):
    return SimpleNamespace(
        id=uuid4(),
        name="a",
        parameters={"scans": [asdict(job) for job in jobs], "settings": settings},
        state=state,
    )


def done(part, n=0):
    return fan_out.reported([ScanOutcome(job.scan_id, "done", seconds=1.0) for job in part.scans])


def statuses(outcomes):
    return {outcome.scan_id: outcome.status for outcome in outcomes}


ALL_DONE = {job.scan_id: "done" for job in JOBS}


@pytest.mark.parametrize(("scans_per_run", "first"), [(2, ["s0", "s1"]), ("auto", ["s0", "s1", "s2"])])
def test_every_scan_is_sent_once(monkeypatch, scans_per_run, first):
    server = Server(monkeypatch, done)
    outcomes = fan_out.fan_out("part", "gpu", by_scan(JOBS, {}), "nightly", scans_per_run)
    assert [outcome.scan_id for outcome in outcomes] == [job.scan_id for job in JOBS]
    assert statuses(outcomes) == ALL_DONE
    assert server.sent[0] == first
    assert sorted(scan_id for sent in server.sent for scan_id in sent) == sorted(ALL_DONE)


def test_what_a_spoilt_process_left_is_sent_again(monkeypatch):
    def end(part, n):
        if n > 1:
            return done(part)
        told = [ScanOutcome("s0", "done"), ScanOutcome("s1", "failed", "CUDA error")]
        return fan_out.reported([*told, *(ScanOutcome(job.scan_id, "left") for job in part.scans[2:])])

    server = Server(monkeypatch, end)
    outcomes = fan_out.fan_out("part", "gpu", by_scan(JOBS, {}), "nightly", 5)
    assert server.sent == [["s0", "s1", "s2", "s3", "s4"], ["s2", "s3", "s4"]]
    assert statuses(outcomes) == {**ALL_DONE, "s1": "failed"}


def test_a_crashed_run_is_sent_three_times_and_then_lost(monkeypatch):
    server = Server(monkeypatch, lambda part, n: Crashed())
    outcomes = fan_out.fan_out("part", "gpu", by_scan(JOBS[:2], {}), "nightly", 2)
    assert server.sent == [["s0", "s1"]] * 3
    assert statuses(outcomes) == {"s0": "lost", "s1": "lost"}


def test_a_batch_that_goes_on_finds_what_it_had_sent(monkeypatch):
    """One run has ended, one is at work with a scan that is known by now, one crashed."""
    known = ScanJob("known", "/known.nii.gz")
    at_work = run_of([known, JOBS[1]], {}, Running())
    before = [
        run_of(JOBS[:1], {}, done(SimpleNamespace(scans=JOBS[:1]))),
        at_work,
        run_of(JOBS[2:3], {}, Crashed()),
    ]
    server = Server(monkeypatch, done, before)
    at_work.state = done(SimpleNamespace(scans=[known, JOBS[1]]))
    monkeypatch.setattr(
        fan_out, "_of_this_batch", lambda client: [before[0], run_at_work(at_work), before[2]]
    )
    outcomes = fan_out.fan_out("part", "gpu", by_scan(JOBS, {}), "nightly", 5)
    assert server.sent == [["s2", "s3", "s4"]]
    assert statuses(outcomes) == ALL_DONE


def run_at_work(run):
    """The run as it was when the batch looked for it: not yet at its end."""
    return SimpleNamespace(id=run.id, name=run.name, parameters=run.parameters, state=Running())


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
