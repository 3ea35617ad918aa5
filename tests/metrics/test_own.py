"""A user's own metric: the documented example, and what is refused."""

import re
from pathlib import Path

import numpy as np
import pytest

from agg2exp_core.errors import UsageError
from agg2exp_core.metrics import make_metric, recipe
from tests.metrics.test_scores import make_clean, make_subject
from tests.networks import CLASS_NAMES

DOCS = Path(__file__).parents[2] / "docs" / "own_metric.md"


def test_the_documented_example(write_module):
    (block,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    reference = f"{write_module('my_metrics', block)}:Localisation"
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


BODY = (
    "    direction = 'higher'\n    bounds = (0, 1)\n    unit = 'x'\n    def scores(self, s, f): return {}\n"
)
FROZEN = "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass M:\n"
REFUSED = {
    "no module": ("", "nowhere:M", "no such module"),
    "no attribute": (FROZEN + BODY, "{}:N", "has no 'N'"),
    "not frozen": (FROZEN.replace("(frozen=True)", "") + BODY, "{}:M", "frozen dataclass"),
    "a function": ("def M(): pass", "{}:M", "frozen dataclass"),
    "no direction": (FROZEN + BODY.replace("higher", "up"), "{}:M", "direction"),
    "no scores": (FROZEN + BODY.replace("scores", "judge"), "{}:M", "scores"),
    "no default": (FROZEN + "    n: int\n" + BODY, "{}:M", "defaults"),
    "no colon": ("", "beauty", "module:attribute"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_metric_is_refused(write_module, case):
    text, reference, said = REFUSED[case]
    module = write_module(f"refused_{'_'.join(case.split())}", text)
    with pytest.raises(UsageError, match=said):
        make_metric(reference.format(module))
