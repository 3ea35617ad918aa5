"""Results of explained scans as DICOM objects, by the command line."""

import time
from types import SimpleNamespace

import highdicom
import nibabel as nib
import numpy as np
import pydicom
import pytest

from agg2exp_cli.__main__ import run
from agg2exp_core.dicom import IdentityKey, Rules, files_in
from agg2exp_core.intake.importer import Importer
from agg2exp_core.store import open_store
from tests.dicom.making import stored_values, write_series
from tests.dicom.stored import LABEL, store_of_scans

WHOSE = {
    "FrameOfReferenceUID": "1.2.9",
    "PatientName": "Zzmarker^Jane",
    "PatientID": "Zzmarker-7",
    "StudyInstanceUID": "1.2.777.3141592",
    "AccessionNumber": "Zzmarker-8",
    "ImageOrientationPatient": [-1, 0, 0, 0, -1, 0],
}
"""The images lie head over heels: an axis of the series is not one of the model's."""


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    """A series, taken in under a keyed hash, and results of it."""
    folder = tmp_path_factory.mktemp("explained")
    write_series(folder / "series", stored_values(20, 30, 28), **WHOSE)
    importer = Importer(folder / "in", IdentityKey("0123456789abcdef" * 2), Rules())
    (entry,) = importer.import_files(files_in(folder / "series"))
    store_of_scans(folder / "store", {entry.scan_id: folder / "in" / entry.scan_id / "ct.nii.gz"})
    return folder


def export(folder, out, *options, series="series"):
    return run(
        ["export", str(folder / "store"), "--dicom", str(folder / series), "--out", str(out), *options]
    )


def grid_of(dataset):
    """Where highdicom puts the voxels [slices, rows, columns] of an object: affine to RAS."""
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ dataset.get_volume_geometry().affine


def at_the_same_place(values, affine, path):
    """Voxels [X, Y, Z] of a NIfTI file at the places of `values` under `affine`."""
    image = nib.load(path)
    index = np.indices(values.shape).reshape(3, -1)
    to_file = np.linalg.inv(image.affine) @ affine
    position = to_file[:3, :3] @ index + to_file[:3, 3:]
    there = np.rint(position).astype(int)
    assert np.abs(position - there).max() < 1e-3
    return np.asanyarray(image.dataobj)[tuple(there)].reshape(values.shape)


def test_objects_show_what_the_files_beside_them_show(explained, tmp_path, capsys):
    assert export(explained, tmp_path / "out", "--class", "left") == 0
    (scan_id,) = open_store(explained / "store").scans()
    names = {f"{scan_id}_segmentation", f"{scan_id}_{LABEL}_left"}
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {f"{name}{end}" for name in names for end in (".dcm", ".nii.gz")}
    seg = highdicom.seg.segread(tmp_path / "out" / f"{scan_id}_segmentation.dcm")
    volume = seg.get_volume(combine_segments=True)
    shown = at_the_same_place(volume.array, grid_of(seg), tmp_path / "out" / f"{scan_id}_segmentation.nii.gz")
    classes = open_store(explained / "store").scan(scan_id).prediction().class_names
    number = {s.SegmentLabel: s.SegmentNumber for s in seg.SegmentSequence}
    expected = np.array([number.get(name, 0) for name in classes])[shown]
    np.testing.assert_array_equal(volume.array, expected)
    assert len(np.unique(expected)) > 2

    pm = highdicom.imread(tmp_path / "out" / f"{scan_id}_{LABEL}_left.dcm")
    values = pm.get_volume().array
    shown = at_the_same_place(values, grid_of(pm), tmp_path / "out" / f"{scan_id}_{LABEL}_left.nii.gz")
    np.testing.assert_array_equal(values.astype(np.float32), shown)
    assert np.abs(values).max() > 0
    assert seg.PatientID == pm.PatientID == "Zzmarker-7"


def test_the_patient_is_in_the_objects_alone(explained, tmp_path, capsys):
    assert export(explained, tmp_path, "--class", "left") == 0
    said = capsys.readouterr()
    assert "Zzmarker" not in said.out + said.err
    named = {
        path.suffix for path in tmp_path.iterdir() if b"Zzmarker" in path.read_bytes() or "Zz" in path.name
    }
    assert named == {".dcm"}
    kept = [path for path in (explained / "store").rglob("*") if path.is_file()]
    assert kept
    assert not [path for path in kept if b"Zzmarker" in path.read_bytes()]


def test_what_does_not_fit_is_refused(explained, tmp_path, capsys, monkeypatch):
    clock = SimpleNamespace(time=time.time, sleep=lambda seconds: None)
    monkeypatch.setattr("retrying.time", clock)  # a PACS that does not answer is asked again
    write_series(explained / "other", stored_values(21, 30, 28), **WHOSE)
    write_series(explained / "nobody", stored_values(20, 30, 28), **{**WHOSE, "PatientID": None})
    (explained / "empty").mkdir()
    out = tmp_path / "out"
    for options, series, said in (
        ([], "other", "a series with other voxels or another grid"),
        ([], "nobody", "images without PatientID"),
        ([], "empty", "0 usable CT series"),
        ([], "none", "where there is nothing"),
        ([], "series/3.dcm", "a file; allowed: the folder"),
        (["--scan-id", "../../x"], "series", "--scan-id: '../../x'; allowed: "),
        (["--class", "lefft"], "series", "did you mean 'left'"),
        (["--store-to", "pacs"], "series", "--store-to: 'pacs'"),
        (["--store-to", "http://me:secret@pacs"], "series", "an address with a user in it"),
        (["--store-to", "http://127.0.0.1:9"], "series", "--store-to: the answer ConnectionError"),
    ):
        assert not out.exists()
        assert export(explained, out, *options, series=series) == 2
        message = capsys.readouterr().err
        assert said in message
        assert "secret" not in message
    assert export(explained, tmp_path / "x.csv") == 2
    (tmp_path / "file").touch()
    assert export(explained, tmp_path / "file" / "out") == 2
    assert "a file that cannot be written" in capsys.readouterr().err
    assert run(["export", str(explained / "store"), "--store-to", "http://pacs", "--out", str(out)]) == 2


def test_a_real_series(real_data, tmp_path):
    """Read and explained as it lies there; its empty identifiers are filled in on the way back."""
    (tmp_path / "series").mkdir()
    for number, path in enumerate(sorted((real_data / "ct_abdomen_dicom").iterdir())):
        dataset = pydicom.dcmread(path)
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.PatientID = "1.2.3", "1.2.3.4", "Real"
        dataset.save_as(tmp_path / "series" / f"{number}.dcm")
    store_of_scans(tmp_path / "store", {"series": tmp_path / "series"}, spacing_mm=6.0)
    assert export(tmp_path, tmp_path / "out") == 0
    seg = highdicom.seg.segread(tmp_path / "out" / "series_segmentation.dcm")
    array = seg.get_volume(combine_segments=True).array
    shown = at_the_same_place(array, grid_of(seg), tmp_path / "out" / "series_segmentation.nii.gz")
    np.testing.assert_array_equal(array > 0, shown > 0)
    assert array.shape == (20, 512, 512)
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert measures.SliceThickness == 2  # what the positions say; the tag says 3
