"""What is complete is left alone: nothing of it is opened, and what has changed is found."""

import json
import os
import shutil
import threading

import nibabel as nib
import numpy as np
import pytest

from agg2exp_core import open_store
from agg2exp_core.pipeline import ExplainSettings, ahead, explain, explain_cohort, plan, plan_scans
from agg2exp_core.pipeline.cache import store_of
from agg2exp_core.pipeline.known import Known
from agg2exp_core.pipeline.reduce import add_regions, drop_region
from agg2exp_core.store.marks import all_marks
from agg2exp_core.store.root import Root
from agg2exp_core.volumes import read_volume, source_of
from tests.flows.cohort import arrays, write_model, write_scan


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """Two scans at a place that all tests share, since a source is known by its path; and them explained."""
    folder = tmp_path_factory.mktemp("cohort")
    place, copy = folder / "place", folder / "copy"
    for seed in (1, 2):
        write_scan(place / "scans" / f"s{seed}.nii.gz", seed=seed)
    settings = ExplainSettings(
        store=str(place / "store"),
        model=str(write_model(folder / "model")),
        method="vanilla_gradient",
        classes=["left"],
        device="cpu",
    )
    assert night(settings, place) == (["s1", "s2"], [])
    shutil.copytree(place, copy)
    return settings, place, copy


@pytest.fixture
def place(pristine):
    _, place, copy = pristine
    shutil.rmtree(place)
    shutil.copytree(copy, place)
    return place


@pytest.fixture
def explained(pristine, place):
    return pristine[0]


@pytest.fixture
def settings(explained, place):
    shutil.rmtree(place / "store")
    store_of.cache_clear()
    return explained


def planned(settings, folder, **changed):
    return plan_scans([str(folder / "scans")], None, settings.model_copy(update=changed))


def night(settings, folder, **changed):
    """Plan and explain; return the ids of the scans that were worked on and of those that were kept."""
    checked = planned(settings, folder, **changed)
    summary = explain_cohort(checked.jobs, checked.settings, checked.rejected, len(checked.kept))
    assert summary.counts == f"{len(checked.jobs) + len(checked.rejected)} new, {len(checked.kept)} kept"
    return [job.scan_id for job in checked.jobs], [job.scan_id for job in checked.kept]


def refuse(*arguments, **named):
    raise AssertionError("a known scan was opened")


def touch(path):
    before = path.stat()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def test_nothing_of_a_known_scan_is_opened(explained, place, monkeypatch):
    for room, name in ((plan, "count_channels"), (ahead, "read_for"), (explain, "explain_scan")):
        monkeypatch.setattr(room, name, refuse)
    opened, really = [], Root.get_many
    monkeypatch.setattr(Root, "get_many", lambda self, keys: opened.extend(keys) or really(self, keys))
    checked = planned(explained, place)
    assert ([job.scan_id for job in checked.kept], checked.jobs) == (["s1", "s2"], [])
    assert opened == ["known.json"]


def test_a_new_scan_alone_is_worked_on(explained, place):
    write_scan(place / "scans" / "s3.nii.gz", seed=3)
    assert night(explained, place) == (["s3"], ["s1", "s2"])
    assert night(explained, place) == ([], ["s1", "s2", "s3"])


def test_a_touched_file_is_hashed_once_by_a_worker_and_not_preprocessed(explained, place, monkeypatch):
    touch(place / "scans" / "s1.nii.gz")
    monkeypatch.setattr(explain, "prepared", refuse)
    assert night(explained, place) == (["s1"], ["s2"])
    assert night(explained, place) == ([], ["s1", "s2"])
    root = open_store(explained.store).root
    assert {scan_id: len(marks) for scan_id, marks in all_marks(root).items()} == {"s1": 1, "s2": 1}
    assert not open_store(explained.store).failures()


def test_a_changed_scan_is_refused_and_the_store_keeps_what_it_has(explained, place):
    write_scan(place / "scans" / "s1.nii.gz", seed=7)
    checked = planned(explained, place)
    summary = explain_cohort(checked.jobs, explained)
    assert [(o.scan_id, o.status) for o in summary.outcomes] == [("s1", "failed")]
    assert "another scan" in summary.outcomes[0].reason


@pytest.mark.parametrize(
    "changed", [{"method": "integrated_gradients", "params": {"n_steps": 1}}, {"classes": ["left", "right"]}]
)
def test_other_results_are_missing_and_files_that_have_not_changed_are_not_read(
    explained, place, monkeypatch, changed
):
    monkeypatch.setattr(ahead, "read_for", refuse)
    assert night(explained, place, **changed) == (["s1", "s2"], [])
    assert night(explained, place, **changed) == ([], ["s1", "s2"])
    assert night(explained, place) == ([], ["s1", "s2"])


def test_recheck_reads_every_scan(explained, place, monkeypatch):
    read, really = [], ahead.read_for
    monkeypatch.setattr(ahead, "read_for", lambda model, path: read.append(path) or really(model, path))
    assert night(explained, place, recheck=True) == (["s1", "s2"], [])
    assert len(read) == 2


def write_mask(folder, scan_id, edge):
    mask = np.zeros((24, 20, 22), np.uint8)
    mask[:edge] = 1
    (folder / scan_id).mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(mask, np.diag([-2.0, -2.0, 2.0, 1.0])), folder / scan_id / "part.nii.gz")


def test_regions_that_changed_are_laid_in_again_and_rows_of_all_results_are_looked_at(explained, place):
    rois = place / "rois"
    for scan_id in ("s1", "s2"):
        write_mask(rois, scan_id, 9)
    assert night(explained, place, rois=str(rois)) == (["s1", "s2"], [])
    assert night(explained, place, rois=str(rois)) == ([], ["s1", "s2"])
    assert night(explained, place) == (["s1", "s2"], [])  # their rows have a region more now
    write_mask(rois, "s2", 5)
    assert night(explained, place, rois=str(rois)) == (["s2"], ["s1"])
    add_regions(explained.store, "s1", str(rois), None)
    assert night(explained, place) == (["s2"], ["s1"])  # the same masks as before for s1
    drop_region(explained.store, "s1", "part")
    assert night(explained, place, rois=str(rois)) == (["s1"], ["s2"])


def test_a_scan_that_was_removed_from_the_store_is_explained_again(explained, place):
    shutil.rmtree(place / "store" / "scans" / "s2.zarr")
    assert night(explained, place) == (["s2"], ["s1"])
    assert night(explained, place) == ([], ["s1", "s2"])


def test_a_known_scan_keeps_its_id_beside_a_newcomer_of_its_name(explained, place):
    write_scan(place / "other" / "s1.nii.gz", seed=5)
    folders = [str(place / "scans"), str(place / "other")]
    checked = plan_scans(folders, None, explained)
    assert [job.scan_id for job in checked.kept] == ["s1", "s2"]
    assert [job.scan_id for job in checked.jobs] == ["other-s1"]
    explain_cohort(checked.jobs, explained)
    again = plan_scans(folders[::-1], None, explained)
    assert sorted(job.scan_id for job in again.kept) == ["other-s1", "s1", "s2"]


def test_a_file_alone_has_the_id_that_it_has_in_its_folder(settings, place):
    for seed in (1, 2):
        write_scan(place / "tree" / f"p{seed}" / "ct.nii.gz", seed=seed)
    checked = plan_scans([str(place / "tree")], None, settings)
    explain_cohort(checked.jobs, settings)
    alone = plan_scans([str(place / "tree" / "p2" / "ct.nii.gz")], None, settings)
    assert [job.scan_id for job in alone.kept] == ["p2"]


def test_what_headers_show_is_refused_by_the_plan_and_what_voxels_show_by_the_worker(settings, place):
    (place / "scans" / "junk.nii.gz").write_bytes(b"no image")
    values = np.zeros((24, 20, 22), np.int16)
    nib.save(nib.Nifti1Image(values, np.diag([-2.0, -2.0, 2.0, 1.0])), place / "scans" / "flat.nii.gz")
    checked = planned(settings, place)
    assert [bad.scan_id for bad in checked.rejected] == ["junk"]
    assert "flat" in [job.scan_id for job in checked.jobs]
    told = explain_cohort(checked.jobs, settings, checked.rejected).outcomes
    assert {o.scan_id: o.status for o in told} == {
        "junk": "rejected", "flat": "rejected", "s1": "done", "s2": "done"
    }  # fmt: skip
    failures = open_store(settings.store).failures()
    assert {scan_id: failure.stage for scan_id, failure in failures.items()} == {
        "flat": "read",
        "junk": "read",
    }
    assert "constant" in failures["flat"].reason


def test_marks_name_nobody_and_say_what_for(explained, place):
    root = open_store(explained.store).root
    keys = root.keys("known")
    told = [json.loads(root.get(f"known/{key}")) for key in keys]
    assert {item["label"] for item in told} == {"vanilla_gradient"}
    assert {len(item["content_hash"]) for item in told} == {64}
    assert not any(str(place) in str(item) or "scans" in key for key, item in zip(keys, told, strict=True))


def test_marks_on_s3_are_those_on_a_disk(explained, s3_uri):
    local = open_store(explained.store).root
    far = open_store(s3_uri, create=True).root
    assert Known.of(s3_uri).sources == {}
    for key in [*(f"known/{key}" for key in local.keys("known")), "known.json", "scans/s1.zarr/zarr.json"]:
        far.put(key, local.get(key))
    assert sorted(far.keys("known")) == sorted(local.keys("known"))
    assert Known.of(s3_uri).sources == Known.of(explained.store).sources
    assert Known.of(s3_uri).secret == Known.of(explained.store).secret
    assert set(Known.of(s3_uri).marks) == {"s1"}


def test_each_scan_is_read_once_and_all_but_the_first_in_a_thread(settings, place, monkeypatch):
    write_scan(place / "scans" / "s3.nii.gz", seed=3)
    read, really = [], ahead.read_for

    def noted(model, path):
        read.append((path.rpartition("/")[2], threading.current_thread().name.partition("_")[0]))
        return really(model, path)

    monkeypatch.setattr(ahead, "read_for", noted)
    night(settings, place)
    main = threading.main_thread().name
    assert sorted(read) == [
        ("s1.nii.gz", main),
        ("s2.nii.gz", "agg2exp-ahead"),
        ("s3.nii.gz", "agg2exp-ahead"),
    ]
    found = arrays(place / "store")
    shutil.rmtree(place / "store")
    store_of.cache_clear()
    monkeypatch.setattr(ahead, "read_ahead", lambda job, settings: None)
    night(settings, place)
    assert arrays(place / "store") == found


def test_what_changed_since_it_was_read_ahead_is_read_again(settings, place):
    job = planned(settings, place).jobs[1]
    ahead.read_ahead(job, settings)
    list(ahead._begun.values())[-1].result()
    write_scan(place / "scans" / "s2.nii.gz", seed=8)
    now = ahead.read(job, settings)
    assert now.content_hash == read_volume(job.path).content_hash


def test_without_the_key_a_path_is_not_guessed_from_a_mark(explained, place):
    known = Known.of(explained.store)
    source = source_of(place / "scans" / "s1.nii.gz")
    assert known.scan_id(source) == "s1"
    assert not any(source in key for key in open_store(explained.store).root.keys("known"))
    assert len(known.secret) == 32
