"""`--plan`: what a run would cost, without a server, a store or a result."""

import pytest

from agg2exp_cli.__main__ import run
from tests.flows.cohort import write_model, write_scan


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    write_model(tmp_path / "model")
    write_scan(tmp_path / "scans" / "s1.nii.gz", seed=1)
    write_scan(tmp_path / "scans" / "s2.nii.gz", seed=2, shape=(16, 16, 16))
    return tmp_path


def plan(folder, *options):
    places = [
        "--model",
        str(folder / "model"),
        "--out",
        str(folder / "store"),
        "--state",
        str(folder / "state"),
    ]
    return run(["explain", str(folder / "scans"), *places, "--plan", *options])


def rows(text):
    cells = [[cell.strip() for cell in line.strip().strip("│").split("│")] for line in text.splitlines()]
    return {row[0]: row[1:] for row in cells if len(row) == 7}


def test_each_scan_and_all_together(folder, capsys):
    assert plan(folder, "--set", "n_samples=3") == 0
    shown = capsys.readouterr().out
    found = rows(shown)
    assert found["s1"][:4] == ["24x20x22", "8", "24", "96"]
    assert found["s2"][:4] == ["16x16x16", "1", "3", "12"]
    assert found["2 scans"][1:4] == ["9", "27", "108"]
    assert float(found["2 scans"][5]) > 0
    assert "16x16x16 of small on cpu" in shown
    assert "forward" in shown
    assert {path.name for path in folder.iterdir()} == {"model", "scans"}


def test_classes_that_are_asked_for_and_classes_per_task(folder, capsys):
    assert plan(folder, "--method", "vanilla_gradient", "--classes", "left") == 0
    assert rows(capsys.readouterr().out)["s1"][1:4] == ["8", "8", "8"]
    assert plan(folder, "--method", "vanilla_gradient", "--classes-per-task", "1") == 0
    assert rows(capsys.readouterr().out)["s1"][1:4] == ["8", "32", "32"]
    forward = {}
    for per_task in ("1", "4"):
        assert plan(folder, "--method", "shapley_semantic", "--classes-per-task", per_task) == 0
        forward[per_task] = int(rows(capsys.readouterr().out)["s1"][2].replace(",", ""))
    assert forward["1"] == 4 * forward["4"]  # each task plays the game anew


def test_any_method(folder, capsys, monkeypatch, tmp_path):
    (tmp_path / "uncounted.py").write_text("def mine(problem, classes): yield\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert plan(folder, "--method", "captum:Occlusion", "--set", "sliding_window_shapes=8,8,8") == 0
    positions = 17 * 13 * 15 + 1
    assert rows(capsys.readouterr().out)["s1"][2] == f"{8 * 4 * positions:,}"
    assert plan(folder, "--method", "uncounted:mine") == 0
    assert rows(capsys.readouterr().out)["s1"][2:4] == ["unknown", "unknown"]


def test_what_is_wrong_is_said(folder, capsys):
    (folder / "scans" / "cut.nii.gz").write_bytes(b"no scan")
    assert plan(folder) == 3
    shown = capsys.readouterr()
    assert shown.err.startswith("error: ")
    assert "cut.nii.gz" in shown.err
    assert "s1" in rows(shown.out)
    assert plan(folder, "--method", "captum:DeepLift") == 2
    assert "same modules in turn" in capsys.readouterr().err
    assert plan(folder, "--method", "nowhere_at_all:mine") == 2
    assert "no such module" in capsys.readouterr().err


def test_what_does_not_fit_is_refused_in_a_sentence(folder, capsys, monkeypatch):
    from agg2exp_core.execution import fitting

    monkeypatch.setattr(fitting, "available_bytes", lambda device: 100_000)
    assert plan(folder) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "GB of memory on cpu" in line
    assert "crop the scan" in line
