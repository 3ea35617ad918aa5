"""The flow `benchmark`: what it computes, keeps, and says."""

import json

import pandas as pd
import pytest

from agg2exp_core.metrics.table import COLUMNS
from agg2exp_core.store import open_store
from flows.__main__ import run
from tests.flows.cohort import CLASS_NAMES, write_model, write_scan

pytestmark = pytest.mark.usefixtures("prefect_server")

METHODS = ["vanilla_gradient", "smoothgrad"]
METRICS = ["complexity", "efficiency", "faithfulness", "roi_distance", "roi_faithfulness", "sensitivity"]
FEW = ["faithfulness.n_subsets=5", "sensitivity.n_perturbations=1"]


def benchmark(folder, out, *options, methods=METHODS, metrics=METRICS):
    few = [text for text in FEW if text.split(".")[0] in metrics]
    return [
        *("benchmark", str(folder / "scans"), "--model", str(folder / "model"), "--out", str(out)),
        *("--methods", ",".join(methods), "--metrics", ",".join(metrics)),
        *(part for text in few for part in ("--set-metric", text)),
        *(("--set-method", "smoothgrad.n_samples=2") if "smoothgrad" in methods else ()),
        *options,
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark")
    write_model(folder / "model")
    for seed in (1, 2):
        write_scan(folder / "scans" / f"s{seed}" / "ct.nii.gz", seed=seed, shape=(18, 16, 17))
    return folder


@pytest.fixture(scope="module")
def store(folder, prefect_server):
    out = folder / "store"
    assert run(benchmark(folder, out)) == 0
    return out


def times(store):
    """When each attribution, fall and score was written."""
    kept = [*store.rglob("c/**/*"), *(store / "benchmark").rglob("*.json")]
    return {str(path.relative_to(store)): path.stat().st_mtime_ns for path in kept if path.is_file()}


def changed(store, before):
    now = times(store)
    return {name for name in now if now[name] != before.get(name) and "importance.zarr" not in name}


def test_every_scan_class_method_and_metric_has_a_score(store):
    scores = pd.read_parquet(store / "benchmark.parquet")
    assert list(scores.columns) == list(COLUMNS)
    keys = scores[["scan", "label", "metric", "class"]]
    assert not keys.duplicated().any()
    assert set(scores["scan"]) == {"s1", "s2"}
    assert set(scores["method"]) == set(METHODS)
    assert set(scores["class"]) == set(CLASS_NAMES)
    assert len(scores) == 2 * len(METHODS) * len(METRICS) * len(CLASS_NAMES)
    recipes = scores.groupby("metric")["recipe"].first().map(json.loads)
    assert recipes["faithfulness"]["n_subsets"] == 5
    assert recipes["faithfulness"]["mask"] == "fixed"
    table = (store / "benchmark" / "table1.md").read_text()
    assert all(name in table for name in METRICS + METHODS)
    assert "of the yardstick's mass 1 was solved exactly" in table
    for name in ("table1.csv", "table1.tex", "table1.png", "table1.svg", "by_class.csv"):
        assert (store / "benchmark" / name).stat().st_size > 100


def test_a_second_run_computes_nothing_and_says_the_same(folder, store):
    before, table = times(store), (store / "benchmark.parquet").read_bytes()
    assert run(benchmark(folder, store)) == 0
    assert changed(store, before) == set()
    assert (store / "benchmark.parquet").read_bytes() == table


def test_one_lost_score_is_made_again_alone(folder, store):
    lost = next((store / "benchmark" / "scores" / "s2").rglob("sensitivity.json"))
    told = json.loads(lost.read_text())
    lost.unlink()
    before = times(store)
    assert run(benchmark(folder, store)) == 0
    assert changed(store, before) == {str(lost.relative_to(store))}
    assert json.loads(lost.read_text()) == told


def test_a_new_method_uses_the_perturbed_passes_that_are_there(folder, store):
    before = times(store)
    more = [*METHODS, "integrated_gradients"]
    quick = ("--set-method", "integrated_gradients.n_steps=2")
    assert run(benchmark(folder, store, *quick, methods=more, metrics=METRICS[:3])) == 0
    new = changed(store, before)
    assert new
    assert all("integrated_gradients" in name for name in new)
    scores = pd.read_parquet(store / "benchmark.parquet")
    assert set(scores[scores["method"] == "integrated_gradients"]["metric"]) == set(METRICS[:3])


def test_changed_options_of_a_metric_redo_that_metric_alone(folder, store):
    before = times(store)
    option = ("--set-metric", "complexity.threshold=0.5")
    assert run(benchmark(folder, store, *option, metrics=METRICS[:3])) == 0
    assert {name.rsplit("/", 1)[-1] for name in changed(store, before)} == {"complexity.json"}


def test_a_bad_scan_is_named_and_the_others_go_on(folder, tmp_path, capsys):
    scans = tmp_path / "scans"
    write_scan(scans / "good" / "ct.nii.gz", seed=3, shape=(18, 16, 17))
    bad = write_scan(scans / "bad" / "ct.nii.gz", seed=4, shape=(18, 16, 17))
    bad.write_bytes(bad.read_bytes()[:400])
    command = benchmark(folder, tmp_path / "store", methods=["vanilla_gradient"], metrics=["complexity"])
    command[1] = str(scans)
    assert run(command) == 3
    assert "bad" in capsys.readouterr().err
    assert "bad" in open_store(str(tmp_path / "store")).failures()
    assert set(pd.read_parquet(tmp_path / "store" / "benchmark.parquet")["scan"]) == {"good"}


def test_the_plan_names_every_method_and_metric_and_writes_nothing(folder, tmp_path, capsys):
    assert run(benchmark(folder, tmp_path / "store", "--plan")) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in METHODS + METRICS)
    assert "shapley_semantic, the yardstick" in said
    assert "the published procedure" in said
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--metrics", "beauty"), "beauty"),
        (("--set-metric", "beauty.n=1"), "--set-metric"),
        (("--set-metric", "complexity"), "--set-metric"),
        (("--set-metric", "complexity.colour=1"), "colour"),
        (("--set-method", "smoothgrad.colour=1"), "colour"),
        (("--methods", "guesswork"), "guesswork"),
    ],
)
def test_wrong_use_is_said_before_anything_runs(folder, tmp_path, capsys, options, named):
    assert run(benchmark(folder, tmp_path / "store", *options)) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("error: ")
    assert named in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "store").exists()
