"""`--plan`: what a run would cost, without a server, a store or a result."""

import pytest

from agg2exp_cli.__main__ import run
from agg2exp_core.pipeline import ExplainSettings, explain_cohort, plan_scans
from agg2exp_core.pipeline.cache import store_of
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


def test_several_methods_on_several_devices(folder, capsys):
    assert plan(folder, "--method", "vanilla_gradient", "--and-method", "shapley_semantic") == 0
    shown = capsys.readouterr().out
    assert all(
        f"{name}: window passes" in " ".join(shown.split())
        for name in ("vanilla_gradient", "shapley_semantic")
    )
    assert "on 1 x cpu" in shown
    assert plan(folder, "--devices", "3") == 0
    assert "on 3 x cpu" in capsys.readouterr().out
    command = ["explain", str(folder / "scans"), "--model", str(folder / "model"), "--out", "there"]
    assert run([*command, "--devices", "3"]) == 2
    assert "add --plan" in capsys.readouterr().err


def test_what_is_held_costs_nothing(folder, capsys):
    settings = ExplainSettings(
        store=str(folder / "store"), model=str(folder / "model"), method="vanilla_gradient", device="cpu"
    )
    planned = plan_scans([str(folder / "scans" / "s1.nii.gz")], "s1", settings)
    assert explain_cohort(planned.jobs, settings).n_done == 1
    assert plan(folder, "--method", "vanilla_gradient") == 0
    found = rows(capsys.readouterr().out)
    assert "s1" not in found
    assert found["s2"][1:4] == ["1", "1", "4"]
    kept = store_of(settings.store).scan("s1").units("vanilla_gradient")
    store_of(settings.store).scan("s1").drop_voxels("vanilla_gradient", min(kept))
    assert plan(folder, "--method", "vanilla_gradient", "--recheck") == 0
    assert rows(capsys.readouterr().out)["s1"][2:4] == ["8", "8"]


def test_a_million_scans_like_one(folder, capsys):
    many = ("--scans", "1000000", "--devices", "10")
    assert plan(folder, *many) == 2
    assert "allowed: one scan" in capsys.readouterr().err
    (folder / "scans" / "s2.nii.gz").unlink()
    assert plan(folder, "--method", "vanilla_gradient", "--and-method", "shapley_semantic", *many) == 0
    shown = capsys.readouterr().out
    cells = [[cell.strip() for cell in line.strip().strip("│").split("│")] for line in shown.splitlines()]
    found = {row[0]: row[1:] for row in cells if len(row) == 3}
    assert found["backward passes"] == ["32,000,000"] * 2
    assert found["rows of the database"] == ["42,000,000"] * 2
    with_voxels, without = (float(cell) for cell in found["terabytes"])
    assert with_voxels > 2 * without
    assert found["objects"] == ["34,000,000"] * 2


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
