"""The flow `ingest`: folder and bucket in, scans out, and nobody's name anywhere."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import s3fs
from prefect.blocks.system import Secret
from prefect.client.orchestration import get_client
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset

from agg2exp_cli.__main__ import run
from agg2exp_core.dicom import Rules, quiet
from agg2exp_core.intake.settings import IngestSettings
from agg2exp_core.volumes import find_scans, read_nifti, read_volume
from tests.dicom.making import write_series
from tests.flows.cohort import write_scan

pytestmark = pytest.mark.usefixtures("prefect_server")

EXTENDING = Path(__file__).parents[2] / "docs" / "extending.md"
SECRET = "0123456789abcdef0123456789abcdef"
MARKER = "Zzmarker"
MARKERS = {
    **dict.fromkeys(("PN", "LO", "SH", "ST", "LT", "UT", "UC", "AE", "UR"), MARKER),
    "UI": "1.2.777.3141592",
    "DA": "19370213",
    "TM": "031415.926535",
    "DT": "19370213031415.926535",
}
"""A value for every tag of these kinds of value, none of which may be found again."""
NEEDED = {"SOPClassUID", "SOPInstanceUID", "RescaleType", "TransferSyntaxUID"}
"""Tags without which there is no CT image: a class, a name of the file, a unit."""


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("AGG2EXP_IDENTITY_KEY", SECRET)


@pytest.fixture
def ingest(tmp_path):
    def ingest(source, *options, into=tmp_path / "in"):
        return run(["ingest", str(source), "--into", str(into), "--settle", "0.05", *options])

    return ingest


@pytest.fixture
def drop(tmp_path):
    write_series(tmp_path / "drop" / "a")
    write_scan(tmp_path / "drop" / "b.nii.gz")
    return tmp_path / "drop"


def entries(into):
    return [json.loads(path.read_text()) for path in sorted((into / ".ledger" / "contents").iterdir())]


def plant(z, dataset):
    """Put a marker into every tag that can hold one, in private tags and in sequences too."""
    for tag, (vr, multiplicity, _, _, keyword) in DicomDictionary.items():
        if vr in MARKERS and keyword and keyword not in NEEDED and tag >> 16 > 4 and tag & 0xFFFF:
            value = MARKERS[vr]
            setattr(dataset, keyword, [value] * 2 if multiplicity.startswith("2") else value)
    private = dataset.private_block(0x0011, f"{MARKER} private", create=True)
    private.add_new(0x01, "LO", MARKER)
    item = Dataset()
    item.PatientName, item.StudyDate, item.StudyInstanceUID = MARKER, MARKERS["DA"], MARKERS["UI"]
    dataset.RequestAttributesSequence = [item]
    dataset.PatientAge, dataset.PatientSex = "063Y", "F"


def found_in(folder: Path) -> set[str]:
    """The files of a folder whose paths or bytes, uncompressed too, hold a marker."""
    needles = [text.lower().encode() for text in {*MARKERS.values(), SECRET, "1937-02-13"}]
    found = set()
    for path in folder.rglob("*"):
        content = str(path.relative_to(folder)).encode()
        if path.is_file():
            raw = path.read_bytes()
            content += raw + (gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else b"")
        if any(needle in content.lower() for needle in needles):
            found.add(str(path.relative_to(folder)))
    return found


def test_nobody_is_named_anywhere(tmp_path):
    """Every identifying tag and file name holds a marker; logs are at their most talkative."""
    drop, into = tmp_path / "drop", tmp_path / "in"
    write_series(drop / f"{MARKER}^Jane", change=plant, names=f"{MARKER}-{{}}.dcm")

    def gap(z, dataset):
        plant(z, dataset)
        dataset.ImagePositionPatient = [0, 0, z + (z > 9)]

    def scout(z, dataset):
        plant(z, dataset)
        with quiet():
            dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER", MARKER]

    def odd(z, dataset):
        plant(z, dataset)
        with quiet():
            dataset.Modality = dataset.StudyInstanceUID = MARKER
            dataset.PatientID = MARKER * 10
        dataset.file_meta.SourceApplicationEntityTitle = MARKER

    write_series(drop / f"{MARKER}^John", change=gap)
    write_series(drop / f"{MARKER}^Jim", change=scout)
    write_series(drop / f"{MARKER}^Joe", change=odd)
    write_series(drop / f"{MARKER}^Jill", change=plant)
    damaged = drop / f"{MARKER}^Jill" / "3.dcm"
    damaged.write_bytes(damaged.read_bytes()[:9000])
    (drop / f"{MARKER}.txt").write_text(MARKER)
    (drop / f"{MARKER}.nii.gz").write_bytes(MARKER.encode())
    hu = np.random.default_rng(0).integers(-1000, 1000, (20, 20, 20), dtype=np.int16)
    image = nib.Nifti1Image(hu, np.eye(4))
    image.header["descrip"], image.header["aux_file"] = MARKER, MARKER
    image.header["intent_name"] = MARKER
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", MARKER.encode()))
    nib.save(image, drop / f"{MARKER}-2.nii.gz")
    assert len(found_in(drop)) == 5 * 19 + 3
    words = [
        sys.executable,
        "-m",
        "agg2exp_cli",
        "ingest",
        str(drop),
        "--into",
        str(into),
        "--settle",
        "0.05",
    ]
    talkative = {
        "PREFECT_LOGGING_LEVEL": "DEBUG",
        "PREFECT_LOGGING_ROOT_LEVEL": "DEBUG",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "DEBUG",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "pydicom,agg2exp_core,urllib3,py.warnings",
        "PYTHONWARNINGS": "default",
        "COLUMNS": "200",
    }
    done = subprocess.run(
        [*words, "--keep", "age", "--keep", "sex"],
        env=os.environ | talkative,
        capture_output=True,
        text=True,
        timeout=100,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 3, said[-3000:]
    assert sorted(entry["status"] for entry in entries(into)) == [
        "accepted",
        "accepted",
        "not wanted",
        "not wanted",
        "quarantined",
        "quarantined",
        "quarantined",
    ]
    about = [json.loads(path.read_text()) for path in into.glob("*/scan.json")]
    assert {(kept.get("age"), kept.get("sex")) for kept in about} == {("63", "F"), (None, None)}
    state = Path(os.environ["PREFECT_HOME"]).parent
    database = b"".join(path.read_bytes() for path in state.rglob("*.db*"))
    for accepted in into.glob("*/ct.nii.gz"):
        assert accepted.parent.name.encode() in database
    assert "DEBUG" in said
    for text in (*MARKERS.values(), SECRET):
        assert text.lower() not in said.lower()
    assert found_in(into) == set()
    assert found_in(state) == set()


def test_a_source_of_the_users_own(tmp_path, ingest, monkeypatch, capsys):
    """The example of the documentation, on the command line; one that lacks a method is refused at once."""
    (block,) = re.findall(r"```python\n(.*?)```", EXTENDING.read_text(), re.DOTALL)
    (tmp_path / "my_source.py").write_text(
        block.replace("/data/archives", str(tmp_path))
        + "\n\nclass Partial:\n    listing, fetch = Archives.listing, Archives.fetch\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_source", raising=False)
    write_series(tmp_path / "series")
    shutil.make_archive(str(tmp_path / "Doe"), "zip", tmp_path / "series")
    assert ingest("my_source:Archives") == 0
    assert "1 of 1 imported into" in capsys.readouterr().out.replace("\n", " ")
    ((scan,), _) = find_scans([tmp_path / "in"])
    np.testing.assert_array_equal(read_nifti(scan.path).values, read_volume(tmp_path / "series").values)
    assert ingest("my_source:Partial") == 2
    assert "gives a Partial without whose(unit)" in capsys.readouterr().err


def test_a_drop_folder(drop, ingest, tmp_path, capsys):
    assert ingest(drop) == 0
    assert "2 of 2 imported into" in capsys.readouterr().out.replace("\n", " ")
    scans, errors = find_scans([tmp_path / "in"])
    assert (len(scans), errors) == (2, [])
    assert ingest(drop) == 0
    assert "nothing new" in capsys.readouterr().out
    (drop / "bad.nii.gz").write_bytes(b"no scan")
    write_series(drop / "c", SeriesInstanceUID="1.1")
    assert ingest(drop) == 3
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "bad.nii").write_bytes(b"no scan either")
    assert ingest(tmp_path / "bad") == 1
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk" / "notes.txt").write_text("no scan at all")
    capsys.readouterr()
    assert ingest(tmp_path / "junk") == 1
    assert "1 files passed over" in " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert len(find_scans([tmp_path / "in"])[0]) == 3


def test_a_bucket(drop, ingest, s3_uri, tmp_path):
    local = read_volume(drop / "a")
    assert ingest(drop, into=tmp_path / "local") == 0
    s3fs.S3FileSystem(skip_instance_cache=True).put(f"{drop}/", s3_uri, recursive=True)
    assert ingest(s3_uri) == 0
    assert ingest(s3_uri) == 0
    ids = [{scan.scan_id for scan in find_scans([tmp_path / name])[0]} for name in ("local", "in")]
    assert ids[0] == ids[1]
    taken = [read_nifti(path) for path in (tmp_path / "in").glob("*/ct.nii.gz")]
    (series,) = [volume for volume in taken if volume.grid.shape == local.grid.shape]
    np.testing.assert_array_equal(series.values, local.values)


def test_a_bucket_that_does_not_answer(ingest, monkeypatch, capsys):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert ingest("s3://bucket/prefix") == 2
    assert "error: SOURCE: no listing (" in capsys.readouterr().err


def test_the_new_batch_is_handed_over(drop, ingest, tmp_path, capsys):
    with get_client(sync_client=True) as client:
        flow_id = client.create_flow_from_name("explain-batch")
        client.create_deployment(flow_id, name="handed", parameters={"settings": {"seed": 7}})
        assert ingest(drop, "--explain-with", "explain-batch/handed") == 0
        assert ingest(drop, "--explain-with", "explain-batch/handed") == 0
        stored = client.read_deployment_by_name("explain-batch/handed")
        runs = [run for run in client.read_flow_runs() if run.deployment_id == stored.id]
    (sent,) = runs
    assert sent.parameters == {"settings": {"seed": 7}, "scans": [str(tmp_path / "in")]}
    assert ingest(drop, "--explain-with", "explain-batch/none") == 2
    assert "error: --explain-with: 'explain-batch/none', which this" in capsys.readouterr().err


def test_one_scan_of_a_growing_folder_keeps_its_name(drop, ingest, tmp_path):
    (drop / "b.nii.gz").unlink()
    assert ingest(drop) == 0
    ((first,), _) = find_scans([tmp_path / "in"])
    assert first.scan_id == first.path.parent.name
    write_scan(drop / "b.nii.gz")
    assert ingest(drop) == 0
    assert first in find_scans([tmp_path / "in"])[0]


def test_the_key_may_be_in_a_secret_block(drop, ingest, tmp_path, monkeypatch, capsys):
    assert ingest(drop, into=tmp_path / "one") == 0
    monkeypatch.delenv("AGG2EXP_IDENTITY_KEY")
    assert ingest(drop) == 2
    assert "error: AGG2EXP_IDENTITY_KEY: no key; allowed: a secret of" in capsys.readouterr().err
    Secret(value=SECRET).save("agg2exp-identity-key")
    assert ingest(drop, into=tmp_path / "two") == 0
    ids = [{scan.scan_id for scan in find_scans([tmp_path / name])[0]} for name in ("one", "two")]
    assert ids[0] == ids[1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--keep", "name"], "--keep: 'name'; allowed: age, sex"),
        (["--min-slices", "1"], "--min-slices: 1"),
        (["--max-slice-spacing", "nan"], "--max-slice-spacing: nan"),
        (["--settle", "-1"], "--settle: -1"),
        (["--days", "0"], "--days: 0"),
        (["--until", "31.1.2026"], "--until: '31.1.2026'; allowed: a date"),
    ],
)
def test_options_that_have_no_meaning(options, said, ingest, drop, capsys):
    assert ingest(drop, *options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {said}")


def test_places_that_have_no_meaning(ingest, drop, tmp_path, capsys):
    (tmp_path / "file").touch()
    for source, into, said in (
        (tmp_path / "none", tmp_path / "in", "nothing there"),
        (tmp_path / "file", tmp_path / "in", "a file"),
        (drop, drop / "in", "--into: a folder within the source"),
        (drop, tmp_path / "file" / "in", "which cannot be written"),
        ("http://me:secret@pacs/dicom-web", tmp_path / "in", "an address with a user in it"),
        ("ftp://host/scans", tmp_path / "in", "error: SOURCE: ftp://…; allowed: a folder"),
    ):
        assert ingest(source, into=into) == 2
        assert said in capsys.readouterr().err


def test_slices_and_limits_are_what_is_asked_for():
    settings = IngestSettings(source="s", into="i", min_slices=9, max_slice_spacing_mm=2.0)
    assert settings.rules == Rules(min_slices=9, slice_spacing_mm=(0.1, 2.0))
