"""Bad input: one line that names place, fault and remedy, before any server starts."""

import gzip
import struct
import time

import nibabel as nib
import numpy as np
import pytest

from agg2exp_cli.__main__ import run
from agg2exp_core.store import open_store
from tests.flows.cohort import write_model, write_scan
from tests.flows.conftest import prefect_server  # noqa: F401

GOOD = np.linspace(-1000, 1000, 24 * 20 * 22).reshape(24, 20, 22).astype(np.float32)


def nifti(values, affine=None, **header):
    image = nib.Nifti1Image(values, np.diag([2.0, 2.0, 2.0, 1.0]) if affine is None else affine)
    for name, value in header.items():
        image.header[name] = value
    return image.to_bytes()


def patched(offset, layout, *values):
    content = bytearray(nifti(GOOD))
    struct.pack_into(layout, content, offset, *values)
    return bytes(content)


def with_value(value):
    spoiled = GOOD.copy()
    spoiled[3, 4, 5] = value
    return nifti(spoiled)


def random_bytes(n):
    return np.random.default_rng(0).bytes(n)


RGB = np.zeros((24, 20, 22), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
DIM, DATATYPE, PIXDIM, SROW_X = 40, 70, 76, 280  # offsets in the NIfTI-1 header

SCANS = {
    "no NIfTI": ("scan.nii", b"a letter, not a scan\n" * 40),
    "empty file": ("scan.nii.gz", b""),
    "truncated gzip": ("scan.nii.gz", gzip.compress(nifti(GOOD))[:-3000]),
    "truncated": ("scan.nii", nifti(GOOD)[:-3000]),
    "gzipped junk": ("scan.nii.gz", gzip.compress(random_bytes(5000))),
    "junk that is no gzip": ("scan.nii.gz", random_bytes(5000)),
    "larger than memory": ("scan.nii.gz", gzip.compress(patched(DIM, "<4h", 3, 32767, 32767, 32767))),
    "negative dimensions": ("scan.nii", patched(DIM, "<4h", 3, 24, -20, 22)),
    "unknown data type": ("scan.nii", patched(DATATYPE, "<h", 7)),
    "complex": ("scan.nii", nifti(GOOD.astype(np.complex64))),
    "RGB": ("scan.nii", nifti(RGB)),
    "2D": ("scan.nii", nifti(GOOD[:, :, 0])),
    "5D": ("scan.nii", nifti(np.stack([np.stack([GOOD] * 2, -1)] * 2, -1))),
    "several volumes": ("scan.nii", nifti(np.stack([GOOD] * 3, -1))),
    "NaN": ("scan.nii", with_value(np.nan)),
    "infinite": ("scan.nii", with_value(np.inf)),
    "zero spacing": ("scan.nii", patched(PIXDIM, "<4f", 1.0, 0.0, 2.0, 2.0)),
    "singular affine": ("scan.nii", patched(SROW_X, "<12f", *[0.0] * 12)),
    "constant": ("scan.nii", nifti(np.full_like(GOOD, -5))),
}


SHOWN_BY_VOXELS = {"truncated gzip", "NaN", "infinite", "constant"}
"""Faults that no header shows: the run finds them."""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def explain(tmp_path, model, capsys, monkeypatch):
    """Run the command; give its exit code and its one line of error."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)

    def explain(*options, store=tmp_path / "store", model=model):
        state = tmp_path / "state"
        started = time.monotonic()
        command = ["explain", *map(str, options), "--model", str(model), "--out", str(store)]
        code = run([*command, "--state", str(state)])
        assert time.monotonic() - started < 20
        assert not state.exists(), "a server was started"
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        assert line.count("; ") >= 2
        assert len(line) < 600
        return code, line

    return explain


@pytest.mark.parametrize("fault", sorted(SCANS.keys() - SHOWN_BY_VOXELS))
def test_a_scan_that_cannot_be_used(fault, explain, tmp_path):
    name, content = SCANS[fault]
    (tmp_path / name).write_bytes(content)
    code, line = explain(tmp_path / name)
    assert code == 1
    assert str(tmp_path / name) in line
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("fault", sorted(SHOWN_BY_VOXELS))
def test_a_scan_whose_voxels_cannot_be_used(fault, prefect_server, explain, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("PREFECT_API_URL", prefect_server.api_url)
    name, content = SCANS[fault]
    (tmp_path / name).write_bytes(content)
    code, line = explain(tmp_path / name)
    assert code == 1
    assert str(tmp_path / name) in line
    store = open_store(tmp_path / "store")
    assert (store.scans(), list(store.failures())) == ([], ["scan"])


def test_a_missing_path(explain, tmp_path):
    code, line = explain(tmp_path / "gone.nii.gz")
    assert code == 1
    assert "gone.nii.gz: nothing there" in line


def test_an_empty_folder(explain, tmp_path):
    (tmp_path / "empty").mkdir()
    code, line = explain(tmp_path / "empty")
    assert code == 1
    assert "an empty folder" in line


def test_two_scans_with_one_id(explain, tmp_path):
    scan = write_scan(tmp_path / "scan.nii.gz")
    code, line = explain(scan, scan)
    assert code == 2
    assert "twice" in line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--method", "smoothgrd"], "did you mean 'smoothgrad'?"),
        (["--set", "n_sampels=3"], "did you mean 'n_samples'?"),
        (["--set", "n_samples"], "name=value"),
        (["--set", "sigma=wide"], "a number"),
        (["--set", "aggregation=roi:tumour"], "--rois"),
        (["--classes", "lft"], "did you mean 'left'?"),
        (["--rois", "/nowhere"], "not there"),
        (["--scan-id", "../up"], "letters"),
        (["--device", "cuda:9"], "doctor"),
        (["--label", "a/b"], "label"),
    ],
)
def test_an_option_that_has_no_meaning(options, said, explain, tmp_path):
    code, line = explain(write_scan(tmp_path / "scan.nii.gz"), *options)
    assert code == 2
    assert said in line


def test_a_model_that_does_not_fit(explain, tmp_path):
    scan = write_scan(tmp_path / "scan.nii.gz")
    code, line = explain(scan, model=write_model(tmp_path / "two", n_channels=2))
    assert (code, "1 channel; allowed: the model's" in line) == (1, True)
    code, line = explain(scan, model=tmp_path / "nowhere")
    assert (code, "nothing there" in line) == (2, True)
    description = write_model(tmp_path / "wrong") / "model.yaml"
    description.write_text(description.read_text().replace("- middle\n", ""))
    code, line = explain(scan, model=description.parent)
    assert (code, "class names" in line) == (2, True)


def test_a_store_that_cannot_be_written(explain, tmp_path):
    scan = write_scan(tmp_path / "scan.nii.gz")
    (tmp_path / "file").write_text("no folder")
    for store in (tmp_path / "file" / "store", "/proc/store", "ftp://host/store"):
        code, line = explain(scan, store=store)
        assert code == 2
        assert str(store) in line


def test_a_store_that_is_not_there(tmp_path, capsys):
    for command in (["reduce", str(tmp_path / "gone")], ["export", str(tmp_path / "gone"), "--out", "x.nii"]):
        assert run(command) == 2
        assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'gone'}")


def test_wrong_use_of_the_command_line(capsys):
    for command in (["explian"], ["explain"], ["explain", "scan", "--model"], ["export", "s", "--out"]):
        assert run(command) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
    assert run([]) == 0
    assert "explain" in capsys.readouterr().out


def test_what_is_refused_leaves_no_half_store(explain, tmp_path):
    explain(write_scan(tmp_path / "scan.nii.gz"), "--classes", "lft")
    if (tmp_path / "store").exists():
        assert not open_store(tmp_path / "store").scans()
