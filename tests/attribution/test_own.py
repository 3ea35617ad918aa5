"""A user's own method: the documented example, and what is refused."""

import re
from pathlib import Path

import numpy as np
import pytest

from agg2exp_core.attribution import attribute, make_method, parameters
from agg2exp_core.errors import UsageError
from agg2exp_core.store import check_name
from tasks.settings import ExplainSettings
from tests.networks import CLASS_NAMES, random_image, smooth_model
from tests.reference import attributions as twin

DOCS = Path(__file__).parents[2] / "docs" / "own_method.md"
IMAGE = random_image(1, 13, 9, 10)


def explained(method, **params):
    model = smooth_model(overlap=0.25)
    return {item.class_name: item for item in attribute(model, IMAGE, method, **params)}


def test_the_documented_example(write_module):
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert len(blocks) == 2
    module = write_module("my_methods", "\n\n".join(blocks))
    model = smooth_model(overlap=0.25)
    for reference in ("gradient_x_input", "GradientTimesInput"):
        items = explained(f"{module}:{reference}")
        assert len(items) >= 2
        for name, item in items.items():
            expected = twin.vanilla_gradient(model, IMAGE, CLASS_NAMES.index(name)) * IMAGE
            np.testing.assert_allclose(
                item.values, expected[0].numpy(), atol=1e-10 * float(expected.abs().max())
            )
            assert item.info["sum"] == pytest.approx(float(expected.sum()))
    absolute = explained(f"{module}:gradient_x_input", absolute="true", aggregation="mean")
    assert all((item.values >= 0).all() for item in absolute.values())


def test_label_and_identity_follow_reference_and_parameters(write_module):
    module = write_module(
        "labelled",
        "def f(problem, classes, n=3): yield\ndef g(problem, classes, n=3): yield\ng.random = False",
    )

    def settings(reference, seed=0, **params):
        return ExplainSettings("store", "model", f"{module}:{reference}", params, seed=seed)

    assert settings("f").result_label == "labelled.f"
    assert settings("f").recipe == {
        "method": "labelled:f",
        "params": {"n": 3, "aggregation": "sum"},
        "seed": 0,
    }
    others = [
        settings("f"),
        settings("g"),
        settings("f", n="4"),
        settings("f", seed=1),
        settings("f", aggregation="mean"),
    ]
    assert len({other.recipe_identity for other in others}) == len(others)
    labels = {check_name("label", other.result_label) for other in others}
    assert len(labels) == len(others)
    assert settings("g", seed=1).result_label == "labelled.g"


def test_parameters_have_their_declared_types(write_module):
    module = write_module(
        "typed",
        "def f(problem, classes, n=3, x=0.5, on=True, name='a', size: tuple[int, ...] = (1, 2, 3), "
        "cap: int | None = None, free=None): yield\nf.aggregation = 'mean'",
    )
    given = {"n": "4", "x": "1", "on": "false", "name": "b", "size": "8,8,8", "cap": "none", "free": "1.5"}
    expected = {"n": 4, "x": 1.0, "on": False, "name": "b", "size": (8, 8, 8), "cap": None, "free": 1.5}
    assert parameters(make_method(f"{module}:f", given)) == {**expected, "aggregation": "mean"}
    for name, value in {"n": "1.5", "x": "inf", "on": "perhaps", "size": "8,x", "cap": "few"}.items():
        with pytest.raises(UsageError, match=name):
            make_method(f"{module}:f", {name: value})
    with pytest.raises(UsageError, match="did you mean 'name'"):
        make_method(f"{module}:f", {"nam": "b"})


REFUSED = {
    "no module": ("nowhere_at_all:f", "no such module"),
    "no submodule": ("json.nowhere:f", "no such module"),
    "no attribute": ("refused:missing", "has no 'missing'"),
    "no colon": ("refused", "module:attribute"),
    "no callable": ("refused:number", "a int"),
    "no problem": ("refused:nothing", "does not take a problem and classes"),
    "no default": ("refused:bare", "'n' is no keyword parameter with a default"),
    "any parameters": ("refused:open_ended", "'params' is no keyword parameter"),
    "a parameter of no type": ("refused:odd", "'table' is no number"),
    "a plain class": ("refused:Plain", "no frozen dataclass"),
    "a class without defaults": ("refused:Bare", "'n' has no default"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_is_no_method(fault, write_module):
    write_module(
        "refused",
        "from dataclasses import dataclass\n"
        "number = 3\n"
        "def nothing(): yield\n"
        "def bare(problem, classes, n): yield\n"
        "def open_ended(problem, classes, **params): yield\n"
        "def odd(problem, classes, table={}): yield\n"
        "class Plain:\n    def explain(self, problem, classes): yield\n"
        "@dataclass(frozen=True)\nclass Bare:\n    n: int\n    def explain(self, problem, classes): yield\n",
    )
    reference, message = REFUSED[fault]
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        make_method(reference)
    assert str(caught.value).count("; ") == 2


def test_a_module_that_fails(write_module):
    with pytest.raises(UsageError, match="ZeroDivisionError"):
        make_method(write_module("failing", "1 / 0") + ":f")
    with pytest.raises(UsageError, match="SyntaxError"):
        make_method(write_module("misspelt", "def f(:") + ":f")
    with pytest.raises(UsageError, match="fails: ModuleNotFoundError"):
        make_method(write_module("lacking", "import nowhere_at_all") + ":f")


YIELDS = {
    "NaN": ("yield c, x * float('nan'), {}", "NaN or infinity for background"),
    "shape": ("yield c, x[..., :3], {}", r"of shape \[1, 13, 9, 3\]"),
    "array": ("yield c, x.numpy(), {}", "a ndarray"),
    "pair": ("yield c, x", "a tuple of 2"),
    "values alone": ("yield x", "of shape"),
    "class": ("yield 99, x, {}", "class 99"),
    "twice": ("yield c, x, {}; yield c, x, {}", "class 0"),
    "too few": ("\n        if c: yield c, x, {}", "nothing for background"),
    "information": ("yield c, x, {'a': x}", "no JSON object"),
    "no generator": ("return [x]", "returns a list"),
}


@pytest.mark.parametrize("fault", YIELDS)
def test_what_must_not_be_yielded(fault, write_module):
    statement, message = YIELDS[fault]
    body = f"def f(problem, classes):\n    x = problem.image\n    for c in classes:\n        {statement}\n"
    module = write_module("yields_" + fault.replace(" ", "_"), body)
    with pytest.raises(UsageError, match=message):
        explained(f"{module}:f")
