"""What the doctor finds, on this machine and on spoilt ones."""

import importlib.metadata
import io
import re
import types

import pytest
import torch
from packaging.requirements import Requirement
from rich.console import Console

from agg2exp_cli import doctor
from agg2exp_cli.doctor import (
    Check,
    check_devices,
    check_disk,
    check_packages,
    check_state,
    check_store,
    exit_code,
    print_checks,
    requirements,
    run_checks,
    unmet,
)


@pytest.fixture(scope="module")
def checks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("doctor")
    return {check.name: check for check in run_checks(str(folder / "store"), folder / "state")}


def test_this_machine_is_fit(checks):
    assert [check for check in checks.values() if check.ok is False] == []
    assert exit_code(checks.values()) == 0


def test_everything_is_looked_at(checks):
    names = {"python", "packages", "extra report", "extra dicom", "memory", "state folder", "disk", "store"}
    assert names <= checks.keys()
    assert any(name.startswith("device") for name in checks)
    assert "GiB" in checks["memory"].detail
    assert "GiB" in checks["disk"].detail


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("sqlalchemy<1", r"sqlalchemy is 2\..*, wanted <1 \(.*schedules create no runs"),
        ("fastapi>=99", r"fastapi is .*, wanted >=99 \(.*server does not start"),
        ("rich<1", r"rich is .*, wanted <1"),
        ("no-such-package-of-ours", "no-such-package-of-ours is missing"),
    ],
)
def test_a_package_that_does_not_fit_is_named_with_its_reason(wanted, said):
    check = check_packages([wanted, "numpy"])
    assert check.ok is False
    assert check.remedy
    assert re.fullmatch(rf"{said}.*", check.detail)


def test_only_the_requirements_of_the_extra_count():
    wanted = ["missing-a", "missing-b; extra == 'dicom'", "missing-c; python_version < '3'"]
    assert unmet(wanted) == ["missing-a is missing"]
    assert unmet(wanted, "dicom") == ["missing-b is missing"]


def test_a_local_build_of_a_pinned_version_fits(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.13.0+cpu")
    assert unmet(["torch==2.13.0"]) == []


def test_the_pins_of_the_server_are_asked_for():
    assert {"fastapi", "sqlalchemy", "prefect"} <= {Requirement(line).name for line in requirements()}


def test_folders_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    spoilt = tmp_path / "file" / "below"
    state, store = check_state(spoilt), check_store(str(spoilt))
    assert state.ok is False
    assert "AGG2EXP_HOME" in state.remedy
    assert store.ok is False
    assert str(spoilt) in store.detail
    assert check_disk(tmp_path / "not" / "made").ok is not False


def test_a_note_is_no_failure_and_brackets_are_shown():
    checks = [Check("extra dicom", None, "pydicom is missing", "pip install 'agg2exp[dicom]' if wanted")]
    assert exit_code(checks) == 0
    assert exit_code([*checks, Check("store", False, "x", "y")]) == 1
    shown = io.StringIO()
    print_checks(checks, Console(file=shown, width=200))
    assert "agg2exp[dicom]" in shown.getvalue()
    assert "note" in shown.getvalue()


@pytest.mark.usefixtures("prefect_server")
def test_deep_reaches_a_prefect_server(tmp_path):
    (server,) = [c for c in run_checks(state_dir=tmp_path, deep=True) if c.name == "prefect server"]
    assert server.ok
    assert "answered after" in server.detail


def test_deep_names_a_prefect_server_that_does_not_answer(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    (server,) = [c for c in run_checks(state_dir=tmp_path, deep=True) if c.name == "prefect server"]
    assert server.ok is False
    assert "PREFECT_API_URL" in server.detail


@pytest.fixture
def card(monkeypatch):
    """A GPU, as PyTorch tells of it."""
    found = types.SimpleNamespace(name="Some Card", major=9)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: found)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (30 * 2**30, 80 * 2**30))
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(doctor, "gpu_driver", lambda: "580.1")
    monkeypatch.setattr(torch, "ones", lambda *shape, device: torch.zeros(*shape))
    return found


@pytest.mark.parametrize(("major", "precisions"), [(9, "float16, tf32, bfloat16"), (7, "float16")])
def test_a_card_is_told_with_its_driver_memory_and_precision(card, major, precisions):
    card.major = major
    (check,) = check_devices()
    assert check.ok
    assert check.name == "device cuda:0"
    assert check.detail == (
        "Some Card, driver 580.1, CUDA 13.0, 30.0 of 80.0 GiB free; "
        f"float32 without TF32, and with --precision {precisions}"
    )


def test_a_card_that_cannot_compute_fails(card, monkeypatch):
    def refuse(*shape, device):
        raise RuntimeError("CUDA error: no kernel image is available\nfor execution on the device")

    monkeypatch.setattr(torch, "ones", refuse)
    (check,) = check_devices()
    assert check.ok is False
    assert check.detail.endswith("CUDA error: no kernel image is available")


def test_a_card_that_pytorch_cannot_use_is_noted(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(doctor, "gpu_driver", lambda: "580.1")
    (check,) = check_devices()
    assert check.ok is None
    assert "a GPU is here, with driver 580.1" in check.detail
