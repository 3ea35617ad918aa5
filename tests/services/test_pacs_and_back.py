"""A real series from a PACS through intake and explanation, and its results back to the PACS."""

import os
import shutil
import subprocess
from pathlib import Path

import highdicom
import nibabel as nib
import numpy as np
import pytest
import yaml
from pydicom import dcmread
from pydicom.dataset import Dataset

from agg2exp.flows.pacs_export import return_results
from agg2exp_cli.__main__ import run
from agg2exp_core.export.pacs import ReturnSettings
from agg2exp_core.intake.settings import IngestSettings
from agg2exp_core.store import open_store
from tests.dicom.test_results_of_a_store import at_the_same_place, grid_of
from tests.flows.cohort import write_model
from tests.flows.conftest import prefect_server  # noqa: F401
from tests.services.test_orthanc import client, ingest, login, named, pacs, pytestmark, store  # noqa: F401

MARKER = "Zzmarker"
DAY = "2026-09-01"
METHOD = "vanilla_gradient"


@pytest.fixture
def model(tmp_path):
    """A small network that sees the series in voxels of 6 mm."""
    description = write_model(tmp_path / "model") / "model.yaml"
    said = yaml.safe_load(description.read_text())
    said["preprocessing"]["spacing_mm"] = 6.0
    description.write_text(yaml.safe_dump(said))
    return description.parent


@pytest.fixture
def series(real_data, store, tmp_path):  # noqa: F811
    """The series in the PACS, under a name."""
    tags = {"StudyDate": DAY.replace("-", ""), "PatientID": f"{MARKER}-1", "PatientName": f"{MARKER}^Real"}
    folder = named(real_data / "ct_abdomen_dicom", tmp_path / "series", **tags)
    store(folder)
    return folder


def of_the_pacs(client, folder: Path) -> dict[str, Path]:  # noqa: F811
    """Fetch what the PACS has of the patient beside the series, by modality."""
    fetched = {}
    for answer in client.search_for_instances(search_filters={"PatientID": f"{MARKER}-1"}):
        found = Dataset.from_json(answer)
        uids = (found.StudyInstanceUID, found.SeriesInstanceUID, found.SOPInstanceUID)
        dataset = client.retrieve_instance(*uids)
        if dataset.Modality != "CT":
            fetched[dataset.Modality] = folder / f"{dataset.Modality}.dcm"
            dataset.save_as(fetched[dataset.Modality])
    return fetched


def test_from_a_pacs_and_back(series, pacs, client, ingest, model, tmp_path, capfd):  # noqa: F811
    assert ingest("--days", "1", "--until", DAY) == 0
    place = str(tmp_path / "store")
    explain = ["explain", str(tmp_path / "in"), "--model", str(model), "--method", METHOD]
    assert run([*explain, "--out", place, "--device", "cpu"]) == 0
    intake = IngestSettings(source=pacs, into=str(tmp_path / "in"), n_days=1, until=DAY)
    settings = ReturnSettings(store_to=pacs, intake=intake, classes=["left"])
    (outcome,) = return_results(place, METHOD, settings)
    assert (outcome.status, outcome.n_computed) == ("done", 2)
    said = "".join(capfd.readouterr())

    back = of_the_pacs(client, tmp_path)
    assert back.keys() == {"SEG", "OT"}
    source = highdicom.get_volume_from_series([dcmread(path) for path in sorted(series.iterdir())])
    seg, pm = highdicom.seg.segread(back["SEG"]), highdicom.imread(back["OT"])
    assert seg.StudyInstanceUID == pm.StudyInstanceUID == dcmread(next(series.iterdir())).StudyInstanceUID
    labels = seg.get_volume(combine_segments=True).match_geometry(source)
    assert labels.spatial_shape == source.spatial_shape == (20, 512, 512)
    assert labels.geometry_equal(source)
    assert pm.get_volume().geometry_equal(source)
    assert [segment.SegmentLabel for segment in seg.SegmentSequence] == ["left", "right", "middle"]

    values = pm.get_volume().array
    file = tmp_path / "left.nii.gz"
    assert run(["export", place, "--class", "left", "--out", str(file)]) == 0
    np.testing.assert_array_equal(values.astype(np.float32), at_the_same_place(values, grid_of(pm), file))
    assert np.abs(values).max() == np.abs(np.asanyarray(nib.load(file).dataobj)).max() > 0

    (scan_id,) = open_store(place).scans()
    assert scan_id in said
    assert MARKER not in said
    state = Path(os.environ["PREFECT_HOME"]).parent
    kept = [*Path(place).rglob("*"), *(tmp_path / "in").rglob("*"), *state.rglob("*.db*"), file]
    assert not [path for path in kept if path.is_file() and MARKER.encode() in path.read_bytes()]

    if shutil.which("dciodvfy"):
        for path in back.values():
            checked = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, check=False)
            assert [line for line in checked.stderr.splitlines() if line.startswith("Error")] == []
