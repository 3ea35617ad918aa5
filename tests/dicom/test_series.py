"""DICOM series in: what is read, and each thing that is refused."""

import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from monai.data import PydicomReader
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from agg2exp_core.dicom import NotWantedError, Rules, group, read_headers, read_hu, stack
from agg2exp_core.errors import ScanError
from agg2exp_core.volumes import find_scans, load_scan, read_series, read_volume
from tests.volumes.test_scan import model

from .making import ORIGIN_LPS, SPACING_MM, stored_values, write_series

TEST_FILES = Path(pydicom.__file__).parent / "data" / "test_files"


def turned(axis, degrees):
    """Rotation about an axis of LPS, from Rodrigues' formula."""
    k = np.array(axis, float) / np.linalg.norm(axis)
    cross = np.array([[0, -k[2], k[1]], [k[2], 0, -k[0]], [-k[1], k[0], 0]])
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def place(turn):
    """Turn a series as a whole: its directions and the way from slice to slice."""

    def change(z, dataset):
        dataset.ImageOrientationPatient = [round(float(v), 9) for v in (*turn[:, 0], *turn[:, 1])]
        way = turn[:, 2] * z * SPACING_MM[2]
        dataset.ImagePositionPatient = [round(float(v), 6) for v in np.array(ORIGIN_LPS) + way]

    return change


@pytest.mark.parametrize("turn", [np.eye(3), turned([1, 0, 0], 180), turned([1, 2, 3], 25)])
def test_every_voxel_lies_where_the_standard_puts_it(turn, tmp_path):
    """PS3.3 C.7.6.2.1.1, one voxel at a time: P = S + X di i + Y dj j."""
    stored = stored_values()
    volume = read_volume(write_series(tmp_path / "series", stored, place(turn)))
    assert volume.values.dtype == np.float32
    assert volume.values.shape == (10, 12, 18)
    for z, j, i in np.random.default_rng(0).integers((18, 12, 10), size=(40, 3)):
        start = np.array(ORIGIN_LPS) + turn[:, 2] * z * SPACING_MM[2]
        x, y, depth = start + turn[:, 0] * SPACING_MM[1] * i + turn[:, 1] * SPACING_MM[0] * j
        voxel = np.linalg.solve(volume.grid.affine, [-x, -y, depth, 1.0])[:3]
        assert np.abs(voxel - np.round(voxel)).max() < 1e-4
        assert volume.values[tuple(np.round(voxel).astype(int))] == float(stored[z, j, i]) - 1024


def test_slope_and_intercept_of_each_slice(tmp_path):
    stored = stored_values()

    def change(z, dataset):
        dataset.RescaleSlope, dataset.RescaleIntercept = 0.5 + z / 100, -1000 - z

    values = read_volume(write_series(tmp_path / "series", stored, change)).values
    for z in range(len(stored)):
        np.testing.assert_allclose(values[:, :, z], (stored[z] * (0.5 + z / 100) - 1000 - z).T, rtol=1e-6)


@pytest.mark.parametrize(
    ("intercept", "dtype"), [(-1024, np.int16), (-1024.5, np.float32), (40000, np.float32)]
)
def test_whole_numbers_stay_whole(intercept, dtype, tmp_path):
    stored = stored_values()
    write_series(tmp_path / "series", stored, RescaleIntercept=intercept)
    headers, _ = read_headers(sorted((tmp_path / "series").iterdir()))
    hu, n_padded = read_hu(stack(group(headers)[0], Rules()))
    assert n_padded == 0
    assert hu.dtype == dtype
    np.testing.assert_array_equal(hu, stored.transpose(2, 1, 0) + np.float64(intercept))


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, RLELossless, JPEG2000Lossless])
def test_transfer_syntaxes(syntax, tmp_path):
    stored = stored_values(16, 48, 40)
    plain = read_volume(write_series(tmp_path / "plain", stored))

    def change(z, dataset):
        if syntax.is_compressed:
            dataset.compress(syntax, generate_instance_uid=False)
        else:
            dataset.file_meta.TransferSyntaxUID = syntax

    other = read_volume(write_series(tmp_path / "other", stored, change))
    assert other.content_hash == plain.content_hash


@pytest.mark.parametrize(
    "name",
    [
        "MR_small_RLE",
        "MR_small_bigendian",
        "MR_small_implicit",
        "MR_small_jp2klossless",
        "MR_small_jpeg_ls_lossless",
    ],
)
def test_pixels_of_other_makers_are_the_same_in_every_syntax(name):
    (plain, coded), strays = read_headers([TEST_FILES / "MR_small.dcm", TEST_FILES / f"{name}.dcm"])
    assert strays == []
    assert plain.transfer_syntax != coded.transfer_syntax
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = pydicom.dcmread(plain.path).pixel_array
    from agg2exp_core.dicom.pixels import _stored

    np.testing.assert_array_equal(_stored(coded)[0], expected)


def test_real_series(real_data):
    """Against MONAI's reader; the slices lie 2 mm apart, whatever their thickness says."""
    folder = real_data / "ct_abdomen_dicom"
    volume = read_volume(folder)
    reader = PydicomReader()
    expected, meta = reader.get_data(reader.read(folder))
    np.testing.assert_allclose(volume.grid.spacing_mm, (0.9765625, 0.9765625, 2.0))
    flipped = np.linalg.inv(meta["affine"]) @ volume.grid.affine @ [0, 0, 0, 1]
    np.testing.assert_allclose(flipped, [0, 0, 19, 1], atol=1e-6)
    np.testing.assert_array_equal(volume.values, expected[:, :, ::-1])
    assert -1024 <= volume.values.min() < -900
    assert find_scans([folder.parent / folder.name])[0][0].path == folder


def test_a_folder_of_dicom_is_loaded_as_a_scan(tmp_path):
    write_series(tmp_path / "case.7", stored_values(20, 24, 22))
    ((found,), errors) = find_scans([tmp_path / "case.7"])
    assert (found.scan_id, errors) == ("case.7", [])
    scan = load_scan(found.path, model())
    assert scan.scan_id == "case.7"
    assert scan.content_hash == read_volume(found.path).content_hash
    assert scan.grid.spacing_mm == pytest.approx((1.5, 1.5, 1.5))


def test_folders_of_folders(tmp_path):
    write_series(tmp_path / "p1" / "study" / "a")
    write_series(tmp_path / "p1" / "study" / "b")
    write_series(tmp_path / "p2" / "x")
    (tmp_path / "p3").mkdir()
    (tmp_path / "p3" / "ct.nii.gz").touch()
    write_series(tmp_path / "p3" / "dicom")
    scans, _ = find_scans([tmp_path])
    assert [str(scan.path.relative_to(tmp_path)) for scan in scans] == [
        "p1/study/a",
        "p1/study/b",
        "p2/x",
        "p3/ct.nii.gz",
    ]


def test_the_usable_series_is_chosen_and_strays_are_named(tmp_path):
    folder = write_series(tmp_path)
    for n, tags in enumerate(({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, {"Modality": "SR"})):
        write_series(folder, stored_values(2), names=f"{n}-{{}}", SeriesInstanceUID=f"1.{n}", **tags)
    (folder / "notes.txt").write_text("not an image")
    assert read_volume(folder).values.shape[2] == 18
    headers, strays = read_headers(sorted(folder.iterdir()))
    assert len(headers) == 22
    assert [(stray.path.name, type(stray.error)) for stray in strays] == [("notes.txt", NotWantedError)]


def test_series_without_uids_are_told_apart_by_their_folders(tmp_path):
    for name in "ab":
        write_series(tmp_path / name, SeriesInstanceUID="", StudyInstanceUID="")
    headers, _ = read_headers(sorted(tmp_path.rglob("*.dcm")))
    assert [len(series.headers) for series in group(headers)] == [18, 18]
    with pytest.raises(ScanError, match="2 usable series"):
        read_volume(tmp_path)


ONE = 4  # a slice in the middle


def only_one(**tags):
    def change(z, dataset):
        if z == ONE:
            for keyword, value in tags.items():
                setattr(dataset, keyword, value)

    return change


def moved(way):
    def change(z, dataset):
        dataset.ImagePositionPatient = [float(v) for v in way(z)]

    return change


def along_z(z, *, dx=0.0, dy=0.0):
    return ORIGIN_LPS[0] + dx, ORIGIN_LPS[1] + dy, ORIGIN_LPS[2] + z * SPACING_MM[2]


NOT_WANTED = {
    "modality": ({"Modality": "MR"}, "the modality MR; allowed: CT"),
    "class": ({"SOPClassUID": EnhancedCTImageStorage}, "of the class EnhancedCTImageStorage"),
    "frames": ({"NumberOfFrames": 3}, "3 frames a file"),
    "localizer": (
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        "the image type ORIGINAL PRIMARY LOCALIZER",
    ),
    "derived": (
        {"ImageType": ["DERIVED", "SECONDARY"]},
        "the image type DERIVED SECONDARY; allowed: ORIGINAL",
    ),
    "burned in": ({"BurnedInAnnotation": "YES"}, "burned-in"),
    "inverted": ({"PhotometricInterpretation": "MONOCHROME1"}, "MONOCHROME1"),
    "too large": ({"Rows": 60000}, "60000 x 10 pixels"),
    "no units": ({"RescaleIntercept": None}, "intercept None"),
    "other units": ({"RescaleType": "OD"}, "to OD"),
    "no slope": ({"RescaleSlope": 0}, "a rescale slope 0.0"),
    "coarse pixels": ({"PixelSpacing": [5.0, 5.0]}, "pixels (5.0, 5.0) mm apart"),
    "no spacing": ({"PixelSpacing": None}, "pixels None mm apart"),
}


@pytest.mark.parametrize("case", NOT_WANTED)
def test_series_that_are_not_wanted(case, tmp_path):
    tags, said = NOT_WANTED[case]
    headers, _ = read_headers(sorted(write_series(tmp_path, **tags).iterdir()))
    with pytest.raises(NotWantedError) as caught:
        stack(group(headers)[0], Rules())
    assert said in caught.value.reason
    with pytest.raises(ScanError, match="none usable"):
        read_volume(tmp_path)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (Rules(min_slices=19), "18 slices; allowed: at least 19"),
        (Rules(slice_spacing_mm=(0.1, 2.0)), "slices 2.5 mm apart; allowed: 0.1 to 2 mm"),
    ],
)
def test_limits(rules, said, tmp_path):
    headers, _ = read_headers(sorted(write_series(tmp_path).iterdir()))
    with pytest.raises(NotWantedError) as caught:
        stack(group(headers)[0], rules)
    assert said in caught.value.reason


BROKEN = {
    "gap": (moved(lambda z: along_z(z + (z > 9))), "1 gaps of up to 5 mm between slices 2.5 mm apart"),
    "uneven": (moved(lambda z: along_z(z + 0.2 * (z % 2))), "gaps of up to 3 mm"),
    "twice": (moved(lambda z: along_z(min(z, 16))), "1 slices at a position that another has"),
    "all at one place": (moved(lambda z: along_z(0)), "17 slices at a position that another has"),
    "tilted": (
        moved(lambda z: along_z(z, dy=z * SPACING_MM[2] * np.tan(np.radians(15)))),
        "a gantry tilted by 15 degrees",
    ),
    "shifted": (moved(lambda z: along_z(z, dx=1.0 * (z == ONE))), "shifted against each other"),
    "mixed orientation": (only_one(ImageOrientationPatient=[0, 1, 0, -1, 0, 0]), "mixed orientation"),
    "no right angle": (only_one(ImageOrientationPatient=[1, 0, 0, 0.5, 0.5, 0]), "no right angle"),
    "no position": (only_one(ImagePositionPatient=None), "without a position"),
    "infinite position": (only_one(ImagePositionPatient=["1e999", "0", "0"]), "without a position"),
    "mixed sizes": (only_one(PixelSpacing=[1.0, 1.0]), "12 x 10 of"),
    "two patients": (only_one(PatientID="P2"), "several patients"),
    "short pixels": (only_one(PixelData=b"\0" * 100), "100 bytes of pixels in place of 240"),
    "claims": (only_one(Columns=4000, Rows=4000), "4000 x 4000"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_series_that_span_no_grid(case, tmp_path):
    change, said = BROKEN[case]
    with pytest.raises(ScanError) as caught:
        read_series(write_series(tmp_path, change=change))
    assert not isinstance(caught.value, NotWantedError)
    assert said in caught.value.reason
    assert "; allowed: " in str(caught.value)


@pytest.mark.parametrize("share", [0.2, 0.4, 0.6, 0.8, 0.99])
def test_a_truncated_file_is_not_left_out_of_its_series(share, tmp_path):
    write_series(tmp_path)
    content = (tmp_path / "3.dcm").read_bytes()
    (tmp_path / "3.dcm").write_bytes(content[: int(share * len(content))])
    with pytest.raises(ScanError, match=r"3\.dcm"):
        read_volume(tmp_path)


def test_transfer_syntaxes_that_are_refused(tmp_path):
    write_series(tmp_path)
    dataset = pydicom.dcmread(tmp_path / "3.dcm")
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(tmp_path / "3.dcm")
    with pytest.raises(ScanError, match="Deflated"):
        read_volume(tmp_path)


def test_folders_without_a_series(tmp_path):
    with pytest.raises(ScanError, match="an empty folder"):
        read_volume(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ScanError, match=r"1 files without DICOM \(notes.txt\)"):
        read_volume(tmp_path)


def test_a_constant_series(tmp_path):
    with pytest.raises(ScanError, match="a constant volume"):
        read_volume(write_series(tmp_path, np.full((18, 12, 10), 24, np.uint16)))


def test_no_header_shows_whose_it_is(tmp_path):
    headers, _ = read_headers(write_series(tmp_path, PatientID="MARKER", PatientAge="045Y").iterdir())
    assert headers[0].identity.patient_id == "MARKER"
    assert "MARKER" not in repr(headers)
    assert "045Y" not in repr(headers)
