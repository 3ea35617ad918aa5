"""A user's own method: the documented example, and what is refused."""

import importlib
import re
from pathlib import Path

import numpy as np
import pytest

from agg2exp_core.attribution import Geometry, attribute, attribute_planes, make_method, parameters
from agg2exp_core.errors import UsageError
from agg2exp_core.pipeline.settings import ExplainSettings
from agg2exp_core.store import check_name
from agg2exp_core.windows import Tiling
from tests.networks import CLASS_NAMES, random_image, smooth_model
from tests.reference import attributions as twin

DOCS = Path(__file__).parents[2] / "docs" / "own_method.md"
IMAGE = random_image(1, 13, 9, 10)


def explained(method, **params):
    model = smooth_model(overlap=0.25)
    return {item.class_name: item for item in attribute(model, IMAGE, method, **params)}


@pytest.fixture
def documented(write_module):
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert len(blocks) == 3
    text = "\n\n".join(blocks)
    assert text.count("\n") < 60
    return write_module("my_methods", text)


def test_the_documented_examples(documented):
    module, model = documented, smooth_model(overlap=0.25)
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


@pytest.mark.parametrize("power", ["1", "2"])
def test_the_documented_class_that_derives_from_smoothgrad(documented, power):
    reference = f"{documented}:SmoothGradTimesInput"
    own = {"n_samples": "2", "sigma": 0.2, "power": power}
    items = explained(reference, **own)
    for name, item in explained("smoothgrad", n_samples=2, sigma=0.2).items():
        np.testing.assert_array_equal(items[name].values, item.values * IMAGE[0].numpy() ** int(power))
    method = make_method(reference, own)
    assert parameters(method) == {"n_samples": 2, "sigma": 0.2, "aggregation": "sum", "power": float(power)}
    pieces = list(attribute_planes(smooth_model(overlap=0.25), IMAGE, method))
    assert len(pieces) > 1
    assert pieces[-1].stop == 13


def test_label_and_identity_follow_reference_and_parameters(write_module):
    module = write_module(
        "labelled",
        "def f(problem, classes, n=3): yield\ndef g(problem, classes, n=3): yield\ng.random = False",
    )

    def settings(reference, seed=0, **params):
        method = f"{module}:{reference}"
        return ExplainSettings(store="store", model="model", method=method, params=params, seed=seed)

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
    "a dataclass without defaults": ("refused:Bare", "'n' is no keyword parameter with a default"),
    "a class without defaults": ("refused:Required", "'n' has no default"),
    "a class that explains nothing": ("refused:Empty", "neither explain nor planes"),
    "an abstract class": ("agg2exp_core.attribution.players:CubePlayers", "without solve"),
    "a check that nobody calls": ("refused:Late", "__post_init__"),
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
        "@dataclass(frozen=True)\nclass Bare:\n    n: int\n    def explain(self, problem, classes): yield\n"
        "from agg2exp_core.attribution import Method, SmoothGrad\n"
        "class Required(SmoothGrad):\n    n: int\n"
        "class Empty(Method): pass\n"
        "class Late(SmoothGrad):\n    def __post_init__(self): pass\n",
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


DERIVED = """
from dataclasses import dataclass
from agg2exp_core.attribution import SmoothGrad

class Plain(SmoothGrad): pass
@dataclass(frozen=True)
class Decorated(SmoothGrad): pass
class More(SmoothGrad):
    factor: float = 1.0
    def planes(self, problem, classes):
        for planes, values, infos in super().planes(problem, classes):
            yield planes, self.factor * values, infos
@dataclass(frozen=True)
class MoreDecorated(SmoothGrad):
    factor: float = 1.0
    def explain(self, problem, classes):
        for c, values, info in super().explain(problem, classes):
            yield c, self.factor * values, info
"""


@pytest.mark.parametrize("name", ["Plain", "Decorated", "More", "MoreDecorated"])
def test_deriving_from_smoothgrad(name, write_module):
    reference = f"{write_module('derived', DERIVED)}:{name}"
    factor = 2 if name.startswith("More") else 1
    own = {"factor": "2"} if factor == 2 else {}
    method = make_method(reference, {"n_samples": "2", **own})
    assert method.name == reference
    assert (method.streams, method.random) == (name != "MoreDecorated", True)
    expected = {"n_samples": 2, "sigma": 0.1, "aggregation": "sum"} | ({"factor": 2.0} if own else {})
    assert parameters(method) == expected
    assert method == make_method(reference, expected) != make_method(reference, {"n_samples": 3})
    assert method.passes(Geometry(Tiling(smooth_model().windows, (13, 9, 10)), 1, 4, 4)) is not None
    found = explained(method)
    for class_name, item in explained("smoothgrad", n_samples=2).items():
        np.testing.assert_array_equal(found[class_name].values, factor * item.values)
    with pytest.raises(UsageError, match="1 or more"):
        make_method(reference, {"n_samples": 0})
    with pytest.raises(UsageError, match="did you mean 'n_samples'"):
        make_method(reference, {"n_sample": 2})
    own_class = getattr(importlib.import_module("derived"), name)
    direct = explained(own_class(n_samples=2, **own))  # as in a notebook
    assert all((direct[c].values == found[c].values).all() for c in found)


def test_a_plain_frozen_dataclass(write_module):
    module = write_module(
        "plain_dataclass",
        "from dataclasses import dataclass\n"
        "@dataclass(frozen=True)\n"
        "class Scaled:\n"
        "    random = False\n"
        "    factor: float = 1.0\n"
        "    aggregation: str = 'mean'\n"
        "    def explain(self, problem, classes):\n"
        "        for c in classes: yield c, self.factor * problem.image, {'a': self.aggregation}\n"
        "    def passes(self, geometry): return (int(self.factor), 0)\n",
    )
    method = make_method(f"{module}:Scaled", {"factor": "3"})
    assert parameters(method) == {"factor": 3.0, "aggregation": "mean"}
    assert (method.random, method.streams, method.passes(None)) == (False, False, (3, 0))
    for item in explained(method).values():
        np.testing.assert_array_equal(item.values, 3 * IMAGE[0].numpy())
        assert item.info == {"a": "mean"}


STREAMED = """
def f(problem, classes, step=4):
    n = problem.image.shape[1]
    for start in range(0, n, step):
        planes = slice(start, min(start + step, n))
        values = problem.read(planes)[None].repeat(len(classes), 1, 1, 1, 1)
        yield planes, values, [{"class": c} for c in classes]
f.streams = True
"""


@pytest.mark.parametrize("step", [4, 5, 99])
def test_a_function_that_streams(step, write_module):
    reference = f"{write_module('streamed', STREAMED)}:f"
    assert make_method(reference).streams
    for item in explained(reference, step=step).values():
        np.testing.assert_array_equal(item.values, IMAGE[0].numpy())
        assert item.info == {"class": CLASS_NAMES.index(item.class_name)}
    pieces = list(attribute_planes(smooth_model(overlap=0.25), IMAGE, reference, step=step))
    assert [(p.start, p.stop) for p in pieces] == [(n, min(n + step, 13)) for n in range(0, 13, step)]


PLANES = {
    "NaN": ("yield slice(0, 13), x * float('nan'), i", "NaN or infinity for slice"),
    "shape": ("yield slice(0, 13), x[:, :, :5], i", r"of shape \[4, 1, 5, 9, 10\]"),
    "classes": ("yield slice(0, 13), x[:1], i", r"of shape \[1, 1, 13, 9, 10\]"),
    "order": ("yield slice(5, 13), x[:, :, 5:], i; yield slice(0, 5), x[:, :, :5], i", "from 0 are due"),
    "twice": ("yield slice(0, 13), x, i; yield slice(0, 13), x, i", "from 13 are due"),
    "too few": ("yield slice(0, 5), x[:, :, :5], i", "nothing for planes 5 to 13"),
    "no slice": ("yield 0, x, i", "where planes of 13 from 0"),
    "pair": ("yield slice(0, 13), x", "a tuple of 2"),
    "information": ("yield slice(0, 13), x, [{'a': x}] * 4", "not a JSON object for each"),
    "too little information": ("yield slice(0, 13), x, i[:2]", "not a JSON object for each"),
    "no generator": ("return [x]", "returns a list"),
}


@pytest.mark.parametrize("fault", PLANES)
def test_planes_that_must_not_be_yielded(fault, write_module):
    statement, message = PLANES[fault]
    body = "    x, i = problem.image[None].repeat(4, 1, 1, 1, 1), [{}] * 4\n"
    body = f"def f(problem, classes):\n{body}    {statement}\nf.streams = True"
    module = write_module("planes_" + fault.replace(" ", "_"), body)
    with pytest.raises(UsageError, match=message):
        explained(f"{module}:f")


def test_planes_of_a_function_that_does_not_say_so(write_module):
    module = write_module("unsaid", STREAMED.replace("f.streams = True", ""))
    with pytest.raises(UsageError, match="streams = True"):
        explained(f"{module}:f")
