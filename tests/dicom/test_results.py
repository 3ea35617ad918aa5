"""Objects for a PACS, read back by their own arithmetic and by highdicom."""

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes
from pydicom.uid import ParametricMapStorage, SegmentationStorage

from agg2exp_core.dicom import Rules, files_in, group, read_headers, stack
from agg2exp_core.dicom.codes import OWN_SCHEME, category, own_code, structure
from agg2exp_core.dicom.parametric_map import MapContent, parametric_map
from agg2exp_core.dicom.references import Author, source_images
from agg2exp_core.dicom.segmentation import segmentation
from agg2exp_core.errors import ScanError
from agg2exp_core.labels import THORAX_CLASSES, colour_of
from tests.dicom.making import write_series

NAMES = ("background", "aorta", "lung_lower_lobe_left", "autochthon_right", "pleural_effusion", "absent")
AUTHOR = Author("small", "0123456789abcdef" * 4)
TURN = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]


def oblique(z, dataset):
    """A series in any direction, its normal right-handed."""
    along, down = TURN[:, 0], TURN[:, 1]
    dataset.ImageOrientationPatient = [round(float(x), 12) for x in (*along, *down)]
    position = np.array([11.0, -7.0, 130.0]) + np.cross(along, down) * 2.5 * z
    dataset.ImagePositionPatient = [round(float(x), 6) for x in position]


@pytest.fixture(scope="module", params=["axial", "oblique"])
def slices(request, tmp_path_factory):
    folder = write_series(
        tmp_path_factory.mktemp("series"),
        change=oblique if request.param == "oblique" else lambda z, dataset: None,
        FrameOfReferenceUID="1.2.9",
        SpecificCharacterSet="ISO_IR 100",
        PatientName="Müller^Änne",
        PatientBirthDate="19370213",
        SliceThickness="3",
    )
    headers, _ = read_headers(files_in(folder))
    (series,) = group(headers)
    return stack(series, Rules())


@pytest.fixture(scope="module")
def labels(slices):
    drawn = np.random.default_rng(0).integers(0, 5, slices.grid.shape)
    drawn[:, :, 4] = 0  # a slice of background alone
    return drawn


@pytest.fixture(scope="module")
def seg(slices, labels, tmp_path_factory):
    path = tmp_path_factory.mktemp("seg") / "seg.dcm"
    made = segmentation(source_images(slices), labels, NAMES, AUTHOR, "prediction-1")
    made.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture(scope="module")
def values(slices):
    return np.random.default_rng(1).normal(size=slices.grid.shape).astype(np.float32)


@pytest.fixture(scope="module")
def pm(slices, values, tmp_path_factory):
    path = tmp_path_factory.mktemp("pm") / "pm.dcm"
    explained = MapContent("aorta", "sg", "smoothgrad", "unit-1")
    made = parametric_map(source_images(slices), values, explained, AUTHOR)
    made.save_as(path, enforce_file_format=True)
    return path


def frames_in_place(dataset, grid, frames):
    """Voxels [X, Y, Z] of frames, each put where its own position and orientation say; and its segment."""
    to_index = np.linalg.inv(np.diag([-1.0, -1.0, 1.0, 1.0]) @ grid.affine)  # from LPS
    shared = dataset.SharedFunctionalGroupsSequence[0]
    row, column = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient).reshape(2, 3)
    measures = shared.PixelMeasuresSequence[0]
    between_rows, between_columns = map(float, measures.PixelSpacing)
    assert float(measures.SliceThickness) == pytest.approx(grid.spacing_mm[2], rel=1e-4)
    for own, frame in zip(dataset.PerFrameFunctionalGroupsSequence, frames, strict=True):
        first = np.array(own.PlanePositionSequence[0].ImagePositionPatient, float)
        rows, columns = np.indices(frame.shape)
        lps = first + columns[..., None] * row * between_columns + rows[..., None] * column * between_rows
        position = lps @ to_index[:3, :3].T + to_index[:3, 3]
        index = np.rint(position).astype(int)
        assert np.abs(position - index).max() < 1e-3
        yield own, tuple(index.reshape(-1, 3).T), frame.ravel()


def test_every_segment_lies_where_the_label_map_says(slices, labels, seg):
    dataset = pydicom.dcmread(seg)
    assert dataset.SOPClassUID == SegmentationStorage
    bits = np.unpackbits(np.frombuffer(dataset.PixelData, np.uint8), bitorder="little")
    shape = (int(dataset.NumberOfFrames), dataset.Rows, dataset.Columns)
    frames = bits[: np.prod(shape)].reshape(shape)
    back = np.zeros(slices.grid.shape, int)
    for own, index, frame in frames_in_place(dataset, slices.grid, frames):
        number = own.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        assert not (back[index] * frame).any()
        back[index] += number * frame
    np.testing.assert_array_equal(back, labels)  # here the numbers are the indices: classes 1 to 4 are there
    assert [s.SegmentLabel for s in dataset.SegmentSequence] == [n.replace("_", " ") for n in NAMES[1:5]]


def test_highdicom_reads_the_same(slices, labels, seg):
    volume = highdicom.seg.segread(seg).get_volume(combine_segments=True)
    to_ours = np.linalg.inv(np.diag([-1.0, -1.0, 1.0, 1.0]) @ slices.grid.affine) @ volume.affine
    back = np.zeros(slices.grid.shape, int)
    index = np.indices(volume.array.shape).reshape(3, -1)
    ours = np.rint(to_ours[:3, :3] @ index + to_ours[:3, 3:]).astype(int)
    back[tuple(ours)] = volume.array[tuple(index)]
    np.testing.assert_array_equal(back, labels)


def test_the_map_is_the_attribution_to_the_bit(slices, values, pm):
    dataset = pydicom.dcmread(pm)
    assert dataset.SOPClassUID == ParametricMapStorage
    shape = (int(dataset.NumberOfFrames), dataset.Rows, dataset.Columns)
    frames = np.frombuffer(dataset.FloatPixelData, "<f4").reshape(shape)
    back = np.full(slices.grid.shape, np.nan, np.float32)
    for _, index, frame in frames_in_place(dataset, slices.grid, frames):
        back[index] = frame
    assert back.tobytes() == values.tobytes()


def test_what_the_map_says_of_itself(pm, values):
    dataset = pydicom.dcmread(pm)
    (mapping,) = dataset.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1.0, 0.0)
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    assert mapping.LUTExplanation == "smoothgrad of aorta, no unit"
    assert mapping.DoubleFloatRealWorldValueLastValueMapped == pytest.approx(np.abs(values).max())
    derivation = dataset.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0]
    assert derivation.DerivationCodeSequence[0].CodeValue == codes.DCM.Saliency.value
    assert dataset.SeriesDescription == "agg2exp sg: aorta"


def test_both_refer_to_the_series_and_its_patient(slices, seg, pm):
    for path in (seg, pm):
        dataset = pydicom.dcmread(path)
        images = {image.SOPInstanceUID for image in source_images(slices)}
        (series,) = dataset.ReferencedSeriesSequence
        assert {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence} == images
        assert series.SeriesInstanceUID == "1.2.3.4"
        assert dataset.FrameOfReferenceUID == "1.2.9"
        assert (dataset.StudyInstanceUID, dataset.PatientID) == ("1.2.3", "P1")
        assert str(dataset.PatientName) == "Müller^Änne"
        assert (dataset.Manufacturer, dataset.ManufacturerModelName) == ("agg2exp", "small")
        assert dataset.ImageType[0] == "DERIVED"


def test_segments_have_codes_and_colours(seg):
    aorta, lobe, muscle, effusion = pydicom.dcmread(seg).SegmentSequence
    code = aorta.SegmentedPropertyTypeCodeSequence[0]
    assert (code.CodeValue, code.CodingSchemeDesignator) == ("15825003", "SCT")
    assert aorta.SegmentAlgorithmType == "AUTOMATIC"
    (said,) = aorta.SegmentationAlgorithmIdentificationSequence
    assert (said.AlgorithmName, said.AlgorithmVersion) == ("small", "0123456789abcdef")
    (side,) = lobe.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence
    assert side.CodeMeaning == "Left"
    assert muscle.SegmentedPropertyTypeCodeSequence[0].CodingSchemeDesignator == OWN_SCHEME
    (kind,) = effusion.SegmentedPropertyCategoryCodeSequence
    assert kind.CodeMeaning == "Morphologically Abnormal Structure"
    for segment, name in ((aorta, "aorta"), (muscle, "autochthon_right")):
        red, green, blue = bytes.fromhex(colour_of(name).lstrip("#"))
        expected = highdicom.color.CIELabColor.from_rgb(red, green, blue).value
        assert tuple(segment.RecommendedDisplayCIELabValue) == tuple(expected)


def test_the_same_result_is_the_same_object(slices, labels):
    images = source_images(slices)
    made = [segmentation(images, labels, NAMES, AUTHOR, name).SOPInstanceUID for name in ("a", "a", "b")]
    assert made[0] == made[1] != made[2]


def test_codes():
    coded = {name: structure(name) for name in THORAX_CLASSES[1:]}
    private = {name for name, (code, _) in coded.items() if code.scheme_designator == OWN_SCHEME}
    assert private == {"autochthon_left", "autochthon_right"}
    assert len({(code.value, side and side.value) for code, side in coded.values()}) == len(coded)
    assert structure("kidney_right") == (codes.SCT.Kidney, codes.SCT.Right)
    assert structure("widget_right")[0] == own_code("widget_right")
    assert len(own_code("a" * 100).value) == 16
    assert own_code("a" * 100) != own_code("a" * 99)
    assert category("heart") == codes.SCT.AnatomicalStructure


def test_a_series_without_identity_is_refused(slices, tmp_path):
    folder = write_series(tmp_path, StudyInstanceUID=None, FrameOfReferenceUID=None)
    headers, _ = read_headers(files_in(folder))
    (series,) = group(headers)
    with pytest.raises(ScanError, match="images without StudyInstanceUID, FrameOfReferenceUID"):
        source_images(stack(series, Rules()))


@pytest.mark.parametrize("character_set", [["", "ISO 2022 IR 87"], ["", "ISO 2022 IR 100", "ISO 2022 IR 87"]])
def test_names_in_character_sets_that_switch(character_set, tmp_path):
    name = "Yamada^Tarou=山田^太郎"
    tags = {"SpecificCharacterSet": character_set, "PatientName": name, "FrameOfReferenceUID": "1.2.9"}
    (series,) = group(read_headers(files_in(write_series(tmp_path / "series", **tags)))[0])
    slices = stack(series, Rules())
    drawn = np.random.default_rng(0).integers(0, 5, slices.grid.shape)
    made = segmentation(source_images(slices), drawn, NAMES, AUTHOR, "prediction-1")
    made.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    assert str(pydicom.dcmread(tmp_path / "seg.dcm").PatientName) == name
