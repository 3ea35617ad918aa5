"""What series hold beside their slices, and how their headers are written: the usable part is read, told."""

import shutil

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from agg2exp_core.dicom import files_in
from agg2exp_core.errors import ScanError
from agg2exp_core.volumes import read_volume

from .making import ORIGIN_LPS, SPACING_MM, slice_of, stored_values, write_series

ROWS, COLUMNS = 12, 10
FRAME = np.ones((ROWS, COLUMNS), np.bool_)
FRAME[2:-2, 2:-2] = False


def remarks(volume):
    return [(remark.code, remark.text) for remark in volume.remarks]


def ct():
    """Stored values of soft tissue and air, HU + 1024, none of them a value of padding below."""
    return np.random.default_rng(0).integers(900, 1200, (18, ROWS, COLUMNS)).astype(np.int32)


PADDING = {  # value, range limit, signed, intercept, and the HU that tissue keeps
    "unsigned, bright": (63536, None, False, -1024),
    "written with a sign, for unsigned pixels": (-2000, None, False, -1024),
    "signed": (-2000, None, True, 0),
    "written without a sign, for signed pixels": (63536, None, True, 0),
    "a range": (3000, 3100, False, -1024),
    "a range from above": (3100, 3000, False, -1024),
    "a value of tissue": (1064, None, False, -1024),
    "water": (0, None, True, 0),
}


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("case", PADDING)
def test_padding_is_air(case, syntax, tmp_path):
    value, limit, signed, intercept = PADDING[case]
    dtype = np.int16 if signed else np.uint16
    stored = ct() - (1024 if signed else 0)
    stored[stored == value] += 1
    stored[:, 5, 5] = value  # in the middle of the patient
    stored[:, FRAME] = value if limit is None else 3050
    stored = np.asarray(stored % (1 << 16), np.uint16).view(dtype)

    def change(z, dataset):
        dataset.file_meta.TransferSyntaxUID = syntax
        for keyword, number in (("PixelPaddingValue", value), ("PixelPaddingRangeLimit", limit)):
            if number is not None:
                dataset.add_new(keyword, "SS" if number < 0 else "US", number)

    tags = {"PixelRepresentation": int(signed), "RescaleIntercept": intercept}
    tags |= {"BitsStored": 16, "HighBit": 15}
    volume = read_volume(write_series(tmp_path, stored, change, **tags))
    hu = volume.values.transpose(2, 1, 0)  # [slices, rows, columns]
    assert (hu[:, FRAME] <= -1024).all()
    inside = np.ones_like(FRAME) & ~FRAME
    inside[5, 5] = False
    np.testing.assert_array_equal(hu[:, inside], stored[:, inside].astype(float) + intercept)
    if case in ("a value of tissue", "water"):
        assert (hu[:, 5, 5] == value + intercept).all()  # tissue that has the value of the padding
    is_told = case not in ("signed", "written without a sign, for signed pixels")
    assert [code for code, _ in remarks(volume)] == ["padding"] * is_told


def test_scouts_are_left_out_and_named(tmp_path):
    expected = read_volume(write_series(tmp_path / "plain")).values
    folder = write_series(tmp_path / "series")
    scout = {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}
    for n, more in enumerate(({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, {})):
        slice_of(stored_values(1, 30, 20)[0], ORIGIN_LPS, 90 + n, **scout, **more).save_as(
            folder / f"scout{n}.dcm", enforce_file_format=True
        )
    volume = read_volume(folder)
    np.testing.assert_array_equal(volume.values, expected)
    assert remarks(volume) == [
        ("series", "1 file of the series left out: the image type ORIGINAL PRIMARY LOCALIZER"),
        ("series", "1 file of the series left out: images of another plane or size"),
    ]


def test_copies_of_slices_are_left_out_and_named(tmp_path):
    folder = write_series(tmp_path / "series")
    expected = read_volume(folder).values
    for path in files_in(folder)[:3]:
        shutil.copy(path, folder / f"copy of {path.name}")
    sent_again = pydicom.dcmread(files_in(folder)[-1])
    sent_again.SOPInstanceUID = sent_again.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4.5"
    sent_again.save_as(folder / "again.dcm", enforce_file_format=True)
    volume = read_volume(folder)
    np.testing.assert_array_equal(volume.values, expected)
    assert remarks(volume) == [("series", "4 files of the series left out: copies of slices")]


def test_a_series_beside_that_spans_no_grid_is_left_out_and_named(tmp_path):
    folder = write_series(tmp_path)
    expected = read_volume(folder).values

    def gap(z, dataset):
        dataset.ImagePositionPatient = [*ORIGIN_LPS[:2], SPACING_MM[2] * (z + 3 * (z > 8))]

    write_series(folder, change=gap, names="other-{}", SeriesInstanceUID="1.2.9")
    volume = read_volume(folder)
    np.testing.assert_array_equal(volume.values, expected)
    ((code, text),) = remarks(volume)
    assert (code, text.startswith("a series left out: 1 gaps")) == ("series", True)


def test_one_of_two_series_is_named_by_a_file_of_it(tmp_path):
    folder = write_series(tmp_path, names="a{}")
    write_series(folder, stored_values(20), names="b{}", SeriesInstanceUID="1.2.9")
    with pytest.raises(ScanError, match=r"2 usable series.*name one file of the series that you mean"):
        read_volume(folder)
    assert read_volume(folder / "a3").values.shape[2] == 18
    assert read_volume(folder / "b3").values.shape[2] == 20


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_data_sets_without_a_preamble(syntax, tmp_path):
    expected = read_volume(write_series(tmp_path / "whole")).values
    folder = write_series(tmp_path / "bare")
    for path in files_in(folder):
        dataset = pydicom.dcmread(path)
        del dataset.file_meta
        implicit = syntax == ImplicitVRLittleEndian
        pydicom.dcmwrite(path, dataset, implicit_vr=implicit, little_endian=True, enforce_file_format=False)
        content = path.read_bytes()
        path.write_bytes(content[content.index(b"DICM") + 4 :] if b"DICM" in content[:132] else content)
        assert path.read_bytes()[:2] == b"\x08\x00"
    np.testing.assert_array_equal(read_volume(folder).values, expected)
    (folder / "table.bin").write_bytes(b"\x08\x00\x05\x00" + b"\xff" * 400)
    (folder / "notes.txt").write_text("no image")
    np.testing.assert_array_equal(read_volume(folder).values, expected)


def along_z(step, n_digits):
    def change(z, dataset):
        dataset.ImagePositionPatient = [*ORIGIN_LPS[:2], f"{ORIGIN_LPS[2] + z * step:.{n_digits}f}"]

    return change


@pytest.mark.parametrize(
    ("step", "n_digits"), [(0.75, 1), (1.25, 1), (0.7, 1), (0.625, 2), (4.9996, 4), (5.0004, 4), (5.002, 2)]
)
def test_positions_are_as_exact_as_their_digits(step, n_digits, tmp_path):
    volume = read_volume(write_series(tmp_path, change=along_z(step, n_digits)))
    assert volume.grid.spacing_mm[2] == pytest.approx(step, abs=10.0**-n_digits / 16)
    assert volume.remarks == ()


def test_digits_do_not_hide_a_missing_slice(tmp_path):
    folder = write_series(tmp_path, stored_values(20), change=along_z(0.75, 1))
    (folder / "73.dcm").unlink()  # the eleventh
    with pytest.raises(ScanError, match="gaps of up to"):
        read_volume(folder)


def test_a_spacing_beyond_its_limit_is_still_refused(tmp_path):
    with pytest.raises(ScanError, match=r"slices 5.1 mm apart"):
        read_volume(write_series(tmp_path, change=along_z(5.1, 1)))


@pytest.mark.parametrize(
    ("tag", "written"),
    [
        ("PixelSpacing", (["0.68359375", "0.68359375"], ["0.683594", "0.683594"])),
        ("PixelSpacing", (["0.68359375", "0.68359375"], ["0.684", "0.684"])),
        ("ImageOrientationPatient", ([1, 0, 0, 0, "0.98", "0.17"], [1, 0, 0, 0, "0.985", "0.174"])),
    ],
)
def test_one_number_written_with_more_and_with_fewer_digits(tag, written, tmp_path):
    def change(z, dataset):
        setattr(dataset, tag, list(written[z % 2]))

    if tag == "ImageOrientationPatient":
        normal = np.cross([1, 0, 0], [0, 0.985, 0.174])

        def change(z, dataset):
            dataset.ImageOrientationPatient = list(written[z % 2])
            dataset.ImagePositionPatient = [round(float(v), 3) for v in ORIGIN_LPS + normal * z * 2.5]

    volume = read_volume(write_series(tmp_path, change=change))
    wanted = (0.68359375,) * 2 if tag == "PixelSpacing" else SPACING_MM[1::-1]
    assert volume.grid.spacing_mm[:2] == pytest.approx(wanted, rel=1e-6)


def test_headers_that_tell_of_more_than_is_seen(tmp_path):
    tilted = read_volume(write_series(tmp_path / "tilted", GantryDetectorTilt="15.0"))
    assert remarks(tilted) == [
        ("geometry", "the header tells of a gantry tilted by 15 degrees, the positions do not")
    ]
    unspecified = read_volume(write_series(tmp_path / "units", RescaleType="US"))
    assert [code for code, _ in remarks(unspecified)] == ["units"]
    assert read_volume(write_series(tmp_path / "hu", RescaleType="hu")).remarks == ()
