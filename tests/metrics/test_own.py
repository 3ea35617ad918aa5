"""A user's own metric: the documented example, and what is refused."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agg2exp_core.errors import UsageError
from agg2exp_core.metrics import Score, make_metric, recipe
from agg2exp_core.pipeline.benchmark import benchmark_cohort
from agg2exp_core.pipeline.benchmark_settings import BenchmarkSettings
from agg2exp_core.pipeline.outcomes import ScanJob
from tests.flows.cohort import write_model, write_scan
from tests.metrics.test_scores import make_clean, make_subject
from tests.networks import CLASS_NAMES

DOCS = Path(__file__).parents[2] / "docs" / "own_metric.md"


@pytest.fixture
def documented(write_module):
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert len(blocks) == 2
    text = "\n\n".join(blocks)
    assert text.count("\n") < 60
    return write_module("my_metrics", text)


def test_the_documented_example(documented):
    reference = f"{documented}:Localisation"
    metric = make_metric(reference, {"margin": "1"})
    assert recipe(metric) == {"metric": reference, "margin": 1}
    assert metric.perturbations is None
    subject = make_subject(make_clean())
    assert metric.passes(None, subject.method) == (0, 0)
    exact = make_metric(reference).scores(subject, None)
    for name, score in exact.items():
        size = np.abs(subject.attribution(name))
        inside = subject.clean.prediction.labels == CLASS_NAMES.index(name)
        assert score.value == pytest.approx(size[inside].sum() / size.sum())
        assert score.details["voxels"] == inside.sum()


def test_a_metric_that_needs_the_exact_matrix_gets_it(documented, tmp_path):
    """The documented example, through a benchmark of a scan."""
    model, scan = write_model(tmp_path / "model"), write_scan(tmp_path / "s1.nii.gz", seed=1)
    reference, store = f"{documented}:RankAgreement", tmp_path / "store"
    settings = BenchmarkSettings(
        store=str(store),
        model=str(model),
        methods=["vanilla_gradient", "shapley_semantic"],
        metrics=[reference],
        method_params={"shapley_semantic": {"max_exact_players": 13}},
        device="cpu",
    )
    summary = benchmark_cohort([ScanJob("s1", str(scan))], settings)
    assert [outcome.status for outcome in summary.outcomes] == ["done"]
    scores = pd.read_parquet(store / "benchmark.parquet")
    assert set(scores["metric"]) == {reference.replace(":", ".")}
    values = scores.groupby("method")["value"].agg(list).to_dict()
    assert len(values["vanilla_gradient"]) >= 3
    assert -1 <= min(values["vanilla_gradient"]) < 1
    np.testing.assert_allclose(values["shapley_semantic"], 1)  # it is the exact one


def test_a_plain_frozen_dataclass(write_module):
    module = write_module(
        "plain_metric",
        "from dataclasses import dataclass\n"
        "from agg2exp_core.metrics import Score\n"
        "@dataclass(frozen=True)\n"
        "class Constant:\n"
        "    direction, bounds, unit, needs_exact_matrix = 'lower', (0.0, 9.0), 'of nothing', True\n"
        "    value: float = 1.0\n"
        "    def scores(self, subject, output_drops): return {'a': Score(self.value)}\n"
        "    @property\n"
        "    def perturbations(self): return f'of {self.value}'\n",
    )
    metric = make_metric(f"{module}:Constant", {"value": "7.5"})
    assert recipe(metric) == {"metric": f"{module}:Constant", "value": 7.5}
    assert metric.scores(None, None) == {"a": Score(7.5)}
    assert (metric.direction, metric.bounds, metric.unit) == ("lower", (0.0, 9.0), "of nothing")
    assert metric.needs_exact_matrix
    assert metric.perturbations == "of 7.5"
    assert metric.passes(None, None) == (0, 0)


BODY = (
    "    direction = 'higher'\n    bounds = (0, 1)\n    unit = 'x'\n    def scores(self, s, f): return {}\n"
)
FROZEN = "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass M:\n"
DERIVED = "from agg2exp_core.metrics import Metric\nclass M(Metric):\n"
REFUSED = {
    "no module": ("", "nowhere:M", "no such module"),
    "no attribute": (FROZEN + BODY, "{}:N", "has no 'N'"),
    "not frozen": (FROZEN.replace("(frozen=True)", "") + BODY, "{}:M", "frozen dataclass"),
    "a function": ("def M(): pass", "{}:M", "a function"),
    "no direction": (FROZEN + BODY.replace("higher", "up"), "{}:M", "direction"),
    "no scores": (FROZEN + BODY.replace("scores", "judge"), "{}:M", "scores"),
    "no default": (FROZEN + "    n: int\n" + BODY, "{}:M", "defaults"),
    "derived, no direction": (DERIVED + BODY.replace("higher", "up"), "{}:M", "direction"),
    "derived, no scores": (DERIVED + BODY.replace("scores", "judge"), "{}:M", "without scores"),
    "derived, no default": (DERIVED + "    n: int\n" + BODY, "{}:M", "'n' has no default"),
    "no colon": ("", "beauty", "module:attribute"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_metric_is_refused(write_module, case):
    text, reference, said = REFUSED[case]
    module = write_module(f"refused_{'_'.join(case.replace(',', '').split())}", text)
    with pytest.raises(UsageError, match=said):
        make_metric(reference.format(module))
