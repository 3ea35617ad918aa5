"""A user's own method: a class or a function that yields class attributions, by ``module:attribute``.

Whatever it is, it becomes a frozen dataclass whose fields are its parameters and whose name is the
reference, so that its results are labelled and told apart like those of the methods in the package.
What it yields is checked, since nobody else has tested it.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import torch

from agg2exp_core.attribution.engine import Problem
from agg2exp_core.attribution.method import Explained, Method
from agg2exp_core.attribution.parsing import PARAMETER_TYPES
from agg2exp_core.errors import UsageError
from agg2exp_core.references import find

_CONTRACT = "def method(problem, classes, parameter=default, ...), or a frozen dataclass with explain"


def own_method(reference: str) -> type[Method]:
    """Return the method that ``module:attribute`` names.

    Raises
    ------
    UsageError
        If there is no such module or attribute, or it is no method.
    """
    found = find("method", reference)
    if isinstance(found, type):
        return _from_class(reference, found)
    if callable(found):
        return _from_function(reference, found)
    raise _refused(reference, f"a {type(found).__name__}")


def _refused(reference: str, got: str) -> UsageError:
    return UsageError("method", got=f"{reference!r}, {got}", allowed=_CONTRACT, remedy="write it so")


def _from_class(reference: str, kind: type) -> type[Method]:
    params = getattr(kind, "__dataclass_params__", None)
    if params is None or not params.frozen or not callable(getattr(kind, "explain", None)):
        raise _refused(reference, "a class that is no frozen dataclass with explain")
    for field in dataclasses.fields(kind):
        if field.default is dataclasses.MISSING:
            raise _refused(reference, f"whose {field.name!r} has no default")
    _check_types(reference, _hints(reference, kind), [field.name for field in dataclasses.fields(kind)])

    def explain(self: Method, problem: Problem, classes: Sequence[int]) -> Iterator[Explained]:
        return _checked(reference, kind.explain(self, problem, classes), problem, classes)  # type: ignore[attr-defined]

    attributes = {
        "name": reference,
        "random": getattr(kind, "random", True),
        "aggregation": getattr(kind, "aggregation", "sum"),
        "explain": explain,
        "planes": None,  # of a method in the package that it may derive from: its own `explain` counts
        "__doc__": kind.__doc__,
        "__module__": kind.__module__,
    }
    return cast(type[Method], type(kind.__name__, (kind,), attributes))


def _from_function(reference: str, function: Callable[..., Any]) -> type[Method]:
    given = list(inspect.signature(function).parameters.values())
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    settings = given[2:]
    if len(given) < 2 or any(p.kind not in positional or p.default is not p.empty for p in given[:2]):
        raise _refused(reference, "a function that does not take a problem and classes")
    for p in settings:
        if p.default is p.empty or p.kind is inspect.Parameter.POSITIONAL_ONLY:
            raise _refused(reference, f"whose {p.name!r} is no keyword parameter with a default")
    hints = _hints(reference, function)
    names = [p.name for p in settings]
    types = {p.name: hints.get(p.name, Any if p.default is None else type(p.default)) for p in settings}
    _check_types(reference, types, names)
    fields = [(p.name, types[p.name], dataclasses.field(default=p.default)) for p in settings]
    if "aggregation" not in names:
        default = getattr(function, "aggregation", "sum")
        fields.append(("aggregation", str, dataclasses.field(default=default)))

    def explain(self: Method, problem: Problem, classes: Sequence[int]) -> Iterator[Explained]:
        values = {name: getattr(self, name) for name in names}
        return _checked(reference, function(problem, classes, **values), problem, classes)

    attributes = {
        "name": reference,
        "random": getattr(function, "random", True),
        "explain": explain,
        "__doc__": function.__doc__,
        "__module__": function.__module__,
    }
    name = getattr(function, "__name__", type(function).__name__)
    kind = dataclasses.make_dataclass(name, fields, frozen=True, namespace=attributes)
    return cast(type[Method], kind)


def _hints(reference: str, found: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(found)
    except NameError as error:
        raise _refused(reference, f"whose annotations do not resolve ({error})") from error


def _check_types(reference: str, types: dict[str, Any], names: list[str]) -> None:
    for name in names:
        options = typing.get_args(types[name]) if types[name] not in PARAMETER_TYPES else (types[name],)
        if types[name] is not Any and not (options and set(options) <= set(PARAMETER_TYPES)):
            raise _refused(reference, f"whose {name!r} is no number, name or truth value")


def _checked(reference: str, items: Any, problem: Problem, classes: Sequence[int]) -> Iterator[Explained]:
    """Pass on what a method yields, as long as it is one attribution for each class."""
    shape = tuple(problem.image.shape)
    waiting = set(classes)
    if not isinstance(items, Iterator):
        raise _wrong_yield(reference, f"returns a {type(items).__name__}", problem)
    for item in items:
        if not isinstance(item, tuple) or len(item) != 3:
            raise _wrong_yield(reference, f"yields {_short(item)}", problem)
        c, values, info = item
        if c not in waiting:
            raise _wrong_yield(reference, f"yields class {c!r}, which is not or no more asked for", problem)
        waiting.remove(c)
        if not isinstance(values, torch.Tensor) or tuple(values.shape) not in (shape, shape[shape[0] == 1 :]):
            raise _wrong_yield(reference, f"yields the attribution {_short(values)}", problem)
        values = values.detach().reshape(shape)
        if not bool(torch.isfinite(values).all()):
            raise _wrong_yield(
                reference, f"yields NaN or infinity for {problem.model.class_names[c]}", problem
            )
        try:
            json.dumps(info)
        except (TypeError, ValueError):
            info = None
        if not isinstance(info, dict):
            raise _wrong_yield(reference, "yields information that is no JSON object", problem)
        yield int(c), values, info
    if waiting:
        missing = ", ".join(problem.model.class_names[c] for c in sorted(waiting))
        raise _wrong_yield(reference, f"yields nothing for {missing}", problem)


def _short(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"of shape {list(value.shape)}"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    return f"a {type(value).__name__}"


def _wrong_yield(reference: str, got: str, problem: Problem) -> UsageError:
    return UsageError(
        "method",
        got=f"{reference!r} {got}",
        allowed="for each class asked for (its index, a finite tensor "
        f"{list(problem.image.shape)}, a dictionary)",
        remedy="correct what the method yields",
    )
