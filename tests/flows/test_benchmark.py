"""The flow `benchmark`: what it computes, keeps, and says."""

import json

import pandas as pd
import pytest
from prefect.client.orchestration import get_client

from agg2exp.tasks.artifacts import artifact_key
from agg2exp_cli.__main__ import run
from agg2exp_core.metrics.table import COLUMNS
from agg2exp_core.store import open_store
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
    assert "of the reference method's mass 1 was solved exactly" in table
    assert "mask=fixed, n_subsets=5, output=logits, subset_size=50176" in table
    assert "- smoothgrad: aggregation=sum, n_samples=2" in table
    for name in (
        "table1.csv",
        "table1.tex",
        "table1.png",
        "table1.svg",
        "table1-dark.png",
        "table1-dark.svg",
        "by_class.csv",
        "by_class.md",
    ):
        assert (store / "benchmark" / name).stat().st_size > 100


def test_the_methods_are_ranked_by_how_true_their_matrices_are(store):
    table = pd.read_csv(store / "benchmark" / "roi_faithfulness.csv", index_col="method")
    assert set(table.index) == set(METHODS)
    assert set(table["rank_distance"]) <= {1, 2}
    assert list(table["distance"]) == sorted(table["distance"])
    assert list(table["exact_mass_share"]) == [1, 1]
    assert list(table["relative_standard_error"]) == [0, 0]
    told = (store / "benchmark" / "roi_faithfulness.md").read_text()
    assert told.startswith("| method | rank by distance | distance ↓ |")
    assert "| others: signed Pearson ↑ |" in told
    assert r"\toprule" in (store / "benchmark" / "roi_faithfulness.tex").read_text()


def test_table_and_ranking_are_artifacts_too(store):
    with get_client(sync_client=True) as client:
        kinds = {artifact.key: artifact.type for artifact in client.read_latest_artifacts()}
    assert kinds[artifact_key("benchmark")] == "table"
    assert kinds[artifact_key("benchmark-roi-faithfulness")] == "table"


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


def test_a_metric_of_the_users_own_joins_the_table(folder, store, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_of_flow.py").write_text(
        "from dataclasses import dataclass\n"
        "from agg2exp_core.metrics import Score\n"
        "@dataclass(frozen=True)\n"
        "class Constant:\n"
        "    direction, bounds, unit = 'lower', (0.0, 9.0), 'of nothing'\n"
        "    value: float = 1.0\n"
        "    def scores(self, subject, falls):\n"
        "        return {name: Score(self.value) for name in subject.classes}\n"
    )
    option = ("--set-metric", "own_of_flow:Constant.value=7.5")
    assert run(benchmark(folder, store, *option, metrics=["own_of_flow:Constant"])) == 0
    scores = pd.read_parquet(store / "benchmark.parquet")
    assert set(scores.loc[scores["metric"] == "own_of_flow.Constant", "value"]) == {7.5}
    assert "own_of_flow.Constant ↓" in (store / "benchmark" / "table1.md").read_text()


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


def planned(capsys):
    """The cells of the printed plan by the name of its line."""
    lines = (line.strip().strip("│").split("│") for line in capsys.readouterr().out.splitlines())
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines if len(cells) == 5}


def test_the_plan_names_every_method_and_metric_and_writes_nothing(folder, tmp_path, capsys):
    assert run(benchmark(folder, tmp_path / "store", "--plan")) == 0
    lines = planned(capsys)
    assert lines.keys() >= {*METHODS, *METRICS, "shapley_semantic, the reference method", "all"}
    passes = {name: int(cells[0].replace(",", "")) for name, cells in lines.items() if cells[0][:1].isdigit()}
    assert passes["all"] == sum(
        passes[name]
        for name in (*METHODS, *METRICS, "segmentation", "shapley_semantic, the reference method")
    )
    n_classes, n_windows = len(CLASS_NAMES), passes["segmentation"]
    # a gradient and two, each on the scan and a noisy copy; 5 subsets and the clean scan for each method
    assert passes["the published procedure"] == n_classes * n_windows * ((1 + 2) * 2 + 2 * 6)
    assert passes["the published procedure"] > passes["anew, by both"]
    assert not (tmp_path / "store").exists()


def test_the_plan_leaves_out_what_is_held(folder, store, capsys):
    methods = [*METHODS, "integrated_gradients"]
    assert run(benchmark(folder, store, "--plan", methods=methods)) == 0
    lines = planned(capsys)
    assert {lines[name][0] for name in ("segmentation", *METHODS, "complexity")} == {"0"}
    assert int(lines["integrated_gradients"][0].replace(",", "")) > 0
    assert run(benchmark(folder, store, "--plan")) == 0
    assert planned(capsys)["all"][:2] == ["0", "0"]


def test_the_plan_shares_the_scans_among_devices(folder, tmp_path, capsys):
    assert run(benchmark(folder, tmp_path / "store", "--plan", "--devices", "2")) == 0
    each, total = (float(cell.replace(",", "")) for cell in planned(capsys)["all"][2:])
    assert each == pytest.approx(total / 2, abs=1)  # two scans of one size


def test_a_plan_names_bad_scans_and_prices_the_others(folder, tmp_path, capsys):
    scans = tmp_path / "scans"
    write_scan(scans / "good" / "ct.nii.gz", seed=3, shape=(18, 16, 17))
    bad = write_scan(scans / "bad" / "ct.nii.gz", seed=4, shape=(18, 16, 17))
    bad.write_bytes(bad.read_bytes()[:400])
    command = benchmark(folder, tmp_path / "store", "--plan")
    command[1] = str(scans)
    assert run(command) == 3
    said = capsys.readouterr()
    assert "error: " in said.err
    assert "benchmark of 1 scans" in said.out


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
