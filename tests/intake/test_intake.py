"""Intake without Prefect: what is imported, once, and what is said of the rest."""

import errno
import json
import re
import shutil
import sys
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import JPEG2000Lossless

from agg2exp_core.dicom import IdentityKey, Rules
from agg2exp_core.errors import StoreError, UsageError
from agg2exp_core.intake import importer
from agg2exp_core.intake.importer import Importer
from agg2exp_core.intake.polling import import_unit, settled_units
from agg2exp_core.intake.sources import FolderSource, listed, open_source
from agg2exp_core.volumes import find_scans, read_nifti, read_volume
from tests.dicom.making import stored_values, write_series
from tests.flows.cohort import write_scan

DOCS = Path(__file__).parents[2] / "docs" / "extending.md"
SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def drop(tmp_path):
    (tmp_path / "drop").mkdir()
    return tmp_path / "drop"


@pytest.fixture
def intake(tmp_path):
    return Importer(tmp_path / "in", IdentityKey(SECRET), Rules())


@pytest.fixture
def run(drop, intake):
    """Take in what lies in the drop folder; `meanwhile` happens while it settles."""

    def run(meanwhile=lambda seconds: None, intake=intake):
        source = FolderSource(drop)
        arrivals = settled_units(source, intake, 5.0, meanwhile)
        return [entry for arrival in arrivals for entry in import_unit(source, intake, arrival)]

    return run


def statuses(entries):
    return sorted(entry.status for entry in entries)


def test_a_series_and_a_file(drop, intake, run):
    write_series(drop / "Doe^Jane")
    write_scan(drop / "jane.nii.gz")
    entries = run()
    assert statuses(entries) == ["accepted", "accepted"]
    scans, errors = find_scans([intake.into])
    assert errors == []
    assert sorted(scan.scan_id for scan in scans) == sorted(entry.scan_id for entry in entries)
    by_shape = {read_nifti(scan.path).grid.shape: read_nifti(scan.path) for scan in scans}
    for original in (read_volume(drop / "Doe^Jane"), read_nifti(drop / "jane.nii.gz")):
        taken = by_shape[original.grid.shape]
        np.testing.assert_array_equal(taken.values, original.values)
        np.testing.assert_allclose(taken.grid.affine, original.grid.affine, atol=1e-4)
    assert {nib.load(scan.path).get_data_dtype() for scan in scans} == {np.dtype(np.int16)}


def test_nothing_is_done_twice(drop, intake, run):
    write_series(drop / "a")
    (first,) = run()
    assert run() == []
    shutil.copytree(drop / "a", drop / "again")
    (again,) = run()
    assert (again.status, again.scan_id, again.content) == ("known", first.scan_id, first.content)
    shutil.rmtree(intake.into / first.scan_id)
    (drop / "a" / "3.dcm").touch()
    assert statuses(run()) == ["known"]
    assert not (intake.into / first.scan_id).exists()


def test_the_same_voxels_in_other_files_are_the_same_scan(drop, intake, run):
    write_series(drop / "a", StationName="one")
    write_series(drop / "b", StationName="two")
    one, two = run()
    assert one.scan_id == two.scan_id
    assert one.content != two.content
    assert statuses([one, two]) == ["accepted", "accepted"]


def test_half_copied_things_wait_for_the_next_time(drop, run):
    write_series(drop / "whole")
    write_series(drop / "growing")
    content = (drop / "growing" / "3.dcm").read_bytes()
    (drop / "growing" / "3.dcm").write_bytes(content[:900])

    def meanwhile(seconds):
        assert seconds == 5.0
        (drop / "growing" / "3.dcm").write_bytes(content)

    assert statuses(run(meanwhile)) == ["accepted"]
    assert statuses(run()) == ["accepted"]


def test_files_that_come_or_go_while_it_settles(drop, run):
    write_series(drop / "a", SeriesInstanceUID="1.1")
    write_series(drop / "b", SeriesInstanceUID="1.2")

    def meanwhile(seconds):
        (drop / "a" / "3.dcm").unlink()
        (drop / "b" / "new.dcm").touch()
        write_series(drop / "c")

    assert run(meanwhile) == []


def test_loose_dicom_files_at_the_top(drop, run):
    for n in range(2):
        write_series(drop, names=f"IM{n}-{{}}", SeriesInstanceUID=f"1.{n}")
    entries = run()
    assert statuses(entries) == ["accepted", "accepted"]
    assert len({entry.scan_id for entry in entries}) == 2


def test_one_bad_series_does_not_stop_the_others(drop, intake, run):
    write_series(drop / "good")
    write_series(drop / "study" / "gap", SeriesInstanceUID="1.1", change=_gap)
    write_series(drop / "study" / "scout", stored_values(2), SeriesInstanceUID="1.2")
    write_series(drop / "study" / "fine", stored_values(20), SeriesInstanceUID="1.3")
    (drop / "study" / "notes.txt").write_text("no scan")
    (drop / "broken.nii.gz").write_bytes(b"\x1f\x8b broken")
    entries = run()
    bad = ["no image", "not wanted", "quarantined", "quarantined"]
    assert statuses(entries) == ["accepted", "accepted", *bad]
    reasons = {entry.reason.split(";")[0] for entry in entries}
    assert "1 files passed over: 1 x a file that does not begin as DICOM does" in reasons
    assert "1 gaps of up to 5 mm between slices 2.5 mm apart" in reasons
    assert "2 slices" in reasons
    recorded = [str(entry) for entry in entries if entry.status != "no image"]
    assert sorted(map(str, intake.ledger.records())) == sorted(recorded)
    assert run() == []


def _gap(z, dataset):
    if z > 9:
        x, y, depth = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y, depth + 2.5]


def test_a_series_beside_a_damaged_file_waits(drop, run):
    write_series(drop / "a")
    whole = (drop / "a" / "3.dcm").read_bytes()
    (drop / "a" / "3.dcm").write_bytes(whole[:400])
    assert statuses(run()) == ["failed", "quarantined"]
    assert statuses(run()) == ["failed", "known"]
    (drop / "a" / "3.dcm").write_bytes(whole)
    assert statuses(run()) == ["accepted"]


def test_more_slices_take_the_place_of_fewer(drop, intake, run):
    stored = stored_values(20)
    write_series(drop / "first", stored[:17])
    (first,) = run()
    write_series(drop / "second", stored)
    (second,) = run()
    assert (second.status, second.scan_id) == ("accepted", first.scan_id)
    assert read_nifti(intake.into / first.scan_id / "ct.nii.gz").grid.shape[2] == 20
    write_series(drop / "third", stored[:18])
    (third,) = run()
    assert third.status == "quarantined"
    assert "imported with 20 slices: this one has 18" in third.reason


def test_what_was_no_image_by_its_name_comes_in_by_another(drop, run):
    whole = write_scan(drop / "scan.nii.gz")
    half = whole.rename(drop / "scan.nii.gz.part")
    (entry,) = run()
    assert (entry.status, entry.scan_id) == ("no image", "")
    half.rename(whole)
    assert statuses(run()) == ["accepted"]


def test_series_without_identifiers_are_told_apart_by_their_voxels(drop, run):
    nobody = {"PatientID": "", "StudyInstanceUID": "", "SeriesInstanceUID": ""}
    write_series(drop / "a", stored_values(18), **nobody)
    write_series(drop / "b", stored_values(18) + 1, **nobody)
    assert len({entry.scan_id for entry in run()}) == 2


def test_an_error_that_may_pass_is_tried_again(drop, intake, run):
    write_series(drop / "a")
    (intake.into).mkdir()
    blocked = intake.into / intake.key.scan_id("P1", "1.2.3", "1.2.3.4")
    blocked.write_text("a file where the folder goes")
    (entry,) = run()
    assert entry.status == "failed"
    assert entry.reason.startswith("FileExistsError at ")
    assert str(intake.into) not in entry.reason
    blocked.unlink()
    assert statuses(run()) == ["accepted"]


@pytest.mark.parametrize("victim", ["write_nifti", "write_json"])
def test_a_version_that_a_kill_interrupted_is_written_again(victim, drop, intake, run, monkeypatch):
    def killed(*arguments):
        raise KeyboardInterrupt

    stored = stored_values(20)
    write_series(drop / "first", stored[:17])
    (first,) = run()
    write_series(drop / "second", stored)
    with monkeypatch.context() as patch:
        patch.setattr(importer, victim, killed)
        with pytest.raises(KeyboardInterrupt):
            run()
    (second,) = run()
    assert (second.status, second.scan_id) == ("accepted", first.scan_id)
    assert read_nifti(intake.into / first.scan_id / "ct.nii.gz").grid.shape[2] == 20
    assert json.loads((intake.into / first.scan_id / "scan.json").read_text())["n_slices"] == 20


def test_what_other_rules_want_comes_in(drop, intake, run):
    write_series(drop / "short", stored_values(8))
    write_series(drop / "gap", SeriesInstanceUID="1.1", change=_gap)
    assert statuses(run()) == ["not wanted", "quarantined"]
    assert run() == []
    shorter = replace(intake, rules=Rules(min_slices=8))
    assert statuses(run(intake=shorter)) == ["accepted", "known"]
    assert run(intake=shorter) == []


def test_a_disk_without_room_is_said(drop, run, monkeypatch):
    def full(image, path):
        raise OSError(errno.ENOSPC, "No space left on device")

    write_series(drop / "a")
    with monkeypatch.context() as patch:
        patch.setattr(nib, "save", full)
        (entry,) = run()
    assert entry.status == "failed"
    assert entry.reason.startswith("a file that cannot be written (No space left on device); allowed: ")
    assert statuses(run()) == ["accepted"]


def test_a_decoder_that_is_missing_may_come(drop, run, monkeypatch):
    def compress(z, dataset):
        dataset.compress(JPEG2000Lossless, generate_instance_uid=False)

    write_series(drop / "a", stored_values(16, 48, 40), compress)
    with monkeypatch.context() as patch:
        patch.setattr(type(get_decoder(JPEG2000Lossless)), "is_available", False)
        entries = run()
    assert set(statuses(entries)) == {"failed"}
    assert "for which no decoder is installed" in entries[0].reason
    assert statuses(run()) == ["accepted"]


def test_what_is_kept_of_a_patient(drop, intake, run):
    write_series(drop / "a", PatientAge="093Y", PatientSex="F")
    (entry,) = run(intake=Importer(intake.into, intake.key, intake.rules, ("age",)))
    about = json.loads((intake.into / entry.scan_id / "scan.json").read_text())
    assert set(about) == {"content_hash", "n_slices", "age"}
    assert about["age"] == "90+"


def test_hidden_files_are_passed_over(drop, run):
    write_series(drop / ".partial")
    (drop / ".nfs01").write_text("x")
    assert run() == []


def test_real_series(real_data, drop, run, intake):
    shutil.copytree(real_data / "ct_abdomen_dicom", drop / "a")
    (entry,) = run()
    taken = read_nifti(intake.into / entry.scan_id / "ct.nii.gz")
    np.testing.assert_array_equal(taken.values, read_volume(drop / "a").values)
    assert not dcmread(next((drop / "a").iterdir())).get("SeriesInstanceUID")


def test_sources_that_mean_nothing(tmp_path):
    for source, said in (
        (tmp_path / "none", "nothing there"),
        ("s3://", "s3://; allowed: a folder, s3://bucket/prefix"),
        ("ftp://host/secret", "ftp://…; allowed: a folder"),
        ("http://user:secret@pacs/dicom-web", "an address with a user in it"),
    ):
        with pytest.raises(UsageError) as caught:
            open_source(str(source), 2, date(2026, 1, 2))
        assert said in str(caught.value)
        assert "secret" not in str(caught.value)


def test_a_source_of_the_users_own_as_documented(drop, intake, tmp_path, monkeypatch):
    (block,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert len(block.splitlines()) < 60
    (tmp_path / "my_source.py").write_text(block.replace("/data/archives", str(drop)))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_source", raising=False)
    write_series(tmp_path / "series")
    shutil.make_archive(str(drop / "Doe"), "zip", tmp_path / "series")
    source = open_source("my_source:Archives", 1, date(2026, 1, 31))
    (unit,) = settled_units(source, intake, 0.0, lambda seconds: None)
    assert statuses(import_unit(source, intake, unit)) == ["accepted"]
    ((scan,), errors) = find_scans([intake.into])
    assert errors == []
    np.testing.assert_array_equal(read_nifti(scan.path).values, read_volume(tmp_path / "series").values)


class Whole:
    def listing(self):
        return {"a": "whole"}

    @contextmanager
    def fetch(self, unit):
        yield []

    def whose(self, unit):
        return None


class NeedsFolder(Whole):
    def __init__(self, folder):
        raise AssertionError(folder)


class Fails(Whole):
    def __init__(self):
        raise OSError("no folder of Jane Doe")


class NoWhose(Whole):
    whose = None


class NoFetch(Whole):
    fetch = "a folder"


class AsksForMore(Whole):
    def listing(self, since):
        return {}


class PlainGenerator(Whole):
    def fetch(self, unit):
        yield []


class NoDictionary(Whole):
    def listing(self):
        return ["a"]


made = Whole()


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("nowhere:x", "'nowhere:x', no such module"),
        ("os:sep", "gives a str without listing()"),
        (f"{__name__}:NeedsFolder", "cannot be called without arguments"),
        (f"{__name__}:Fails", "fails when it is called (OSError at test_intake.py:"),
        (f"{__name__}:NoWhose", "gives a NoWhose without whose(unit)"),
        (f"{__name__}:NoFetch", "gives a NoFetch without fetch(unit)"),
        (f"{__name__}:AsksForMore", "gives a AsksForMore that cannot be asked for listing()"),
        (f"{__name__}:PlainGenerator", "has a fetch that is a plain generator, without @contextmanager"),
    ],
)
def test_what_is_no_source_is_refused_when_it_is_opened(reference, said):
    with pytest.raises(UsageError) as caught:
        open_source(reference, 1, date(2026, 1, 31))
    assert said in str(caught.value)
    assert "Jane" not in str(caught.value)


@pytest.mark.parametrize("name", ["Whole", "made"])
def test_a_source_is_a_class_a_function_or_made_already(name):
    assert listed(open_source(f"{__name__}:{name}", 1, date(2026, 1, 31))) == {"a": "whole"}


def test_a_listing_that_is_none_is_refused():
    with pytest.raises(StoreError, match=re.escape("SOURCE: no listing (AttributeError)")):
        listed(open_source(f"{__name__}:NoDictionary", 1, date(2026, 1, 31)))
