"""A user's own method by ``module:attribute``: a function, or a class deriving from one of ours.

Whatever it is, it becomes a `Method` whose fields are its parameters and whose name is the reference,
so that its results are labelled and told apart like those of the methods in the package. What it yields
is checked, since nobody else has tested it.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import cache, partial
from typing import Any, NamedTuple, cast

import numpy as np
import torch

from agg2exp_core.attribution.masks import AggregationName
from agg2exp_core.attribution.method import Explained, FinishedPlanes, Method
from agg2exp_core.attribution.problem import Problem
from agg2exp_core.errors import UsageError
from agg2exp_core.plugins import (
    check_settings,
    derived,
    fields_of,
    find_plugin,
    given_to,
    is_frozen_dataclass,
)

Make = Callable[..., Any]
"""From a user's parameters to what is then called: its `explain`, `planes` or `passes`."""


def user_method(reference: str) -> type[Method]:
    """Return the method that ``module:attribute`` names.

    Raises
    ------
    UsageError
        If there is no such module or attribute, or it is no method.
    """
    found = find_plugin("method", reference)
    if not callable(found):
        raise _refused(reference, f"a {type(found).__name__}")
    return _method(reference, found) if isinstance(found, Hashable) else _method.__wrapped__(reference, found)


@cache
def _method(reference: str, found: Any) -> type[Method]:
    """Return one class for what is found; a module that is loaded anew has another."""
    refused = partial(_refused, reference)
    if isinstance(found, type) and issubclass(found, Method):
        return _checked(reference, found)
    if is_frozen_dataclass(found) and (hasattr(found, "explain") or hasattr(found, "planes")):
        parameters = list(inspect.signature(found).parameters.values())
        names = [name for name in ("explain", "planes", "passes") if hasattr(found, name)]
        makes: dict[str, Make] = {name: partial(_bound, found, name) for name in names}
        return _adapted(reference, found, parameters, makes)
    if isinstance(found, type):
        raise refused("a class that derives from no method and is no frozen dataclass with explain")
    parameters = list(inspect.signature(found).parameters.values())
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if len(parameters) < 2 or any(
        p.kind not in positional or p.default is not p.empty for p in parameters[:2]
    ):
        raise refused("a function that does not take a problem and classes")
    yields = "planes" if getattr(found, "streams", False) else "explain"
    return _adapted(reference, found, parameters[2:], {yields: partial(partial, found)})


def _refused(reference: str, got: str) -> UsageError:
    return UsageError(
        "method",
        got=f"{reference!r}, {got}",
        allowed="def method(problem, classes, parameter=default, ...), or a class deriving from "
        "agg2exp_core.attribution.Method with explain or planes",
        remedy="write it so",
    )


def _bound(kind: type, name: str, /, **parameters: Any) -> Callable[..., Any]:
    """Return what an object of a user's class does."""
    return cast(Callable[..., Any], getattr(kind(**parameters), name))


def _adapted(
    reference: str, found: Any, parameters: list[inspect.Parameter], makes: dict[str, Make]
) -> type[Method]:
    """Return a method with a user's parameters, which does what is made of them."""
    fields = fields_of(parameters, found, partial(_refused, reference))
    default = getattr(found, "aggregation", "sum")
    own = fields.pop("parameter_aggregation", None)
    fields["aggregation"] = (AggregationName, default if own is None else own[1].default)

    def calling(make: Make) -> Callable[..., Any]:
        def call(self: Method, *arguments: Any) -> Any:
            aggregation = {} if own is None else {"aggregation": self.aggregation}
            return make(**given_to(self), **aggregation)(*arguments)

        return call

    members: dict[str, Any] = {name: calling(make) for name, make in makes.items()}
    members["random"] = getattr(found, "random", True)
    return _checked(reference, derived(Method, found, members, fields))


def _checked(reference: str, kind: type[Method]) -> type[Method]:
    """Return the same method under the name of its reference, with what it yields checked."""
    check_settings(kind, partial(_refused, reference))
    theirs = kind.planes if kind.streams else kind.explain
    if theirs is Method.explain:
        raise _refused(reference, "a class with neither explain nor planes")
    check = _check_planes if kind.streams else _check_attributions

    def checked(self: Method, problem: Problem, classes: Sequence[int]) -> Iterator[Any]:
        C, _, Y, Z = shape = list(problem.image.shape)
        allowed = f"for each class asked for (its index, a finite tensor {shape}, a dictionary)"
        if kind.streams:
            values = f"a finite tensor [{len(classes)}, {C}, n, {Y}, {Z}]"
            allowed = f"planes in order, each (a slice, {values}, a dictionary for each class)"
        return check(theirs(self, problem, classes), problem, classes, _Fault(reference, allowed))

    explains = "planes" if kind.streams else "explain"
    return derived(kind, kind, {"name": reference, explains: checked}, {})


class _Fault(NamedTuple):
    """Makes the errors of what a user's method yields."""

    reference: str
    allowed: str

    def __call__(self, got: str) -> UsageError:
        remedy = "correct what the method yields"
        return UsageError("method", got=f"{self.reference!r} {got}", allowed=self.allowed, remedy=remedy)


def _check_attributions(
    yielded: Any, problem: Problem, classes: Sequence[int], fault: _Fault
) -> Iterator[Explained]:
    """Pass on what a method yields, as long as it is one attribution for each class."""
    names, shape = problem.model.class_names, tuple(problem.image.shape)
    waiting = set(classes)
    for c, values, info in _triples(yielded, fault):
        if isinstance(c, slice):
            raise fault("yields planes, but does not say so: give it streams = True")
        if c not in waiting:
            raise fault(f"yields class {c!r}, which is not or no more asked for")
        waiting.remove(c)
        if not isinstance(values, torch.Tensor) or tuple(values.shape) not in (shape, shape[shape[0] == 1 :]):
            raise fault(f"yields the attribution {_short(values)}")
        values = values.detach().reshape(shape)
        if not bool(torch.isfinite(values).all()):
            raise fault(f"yields NaN or infinity for {names[c]}")
        if not _is_json_object(info):
            raise fault("yields information that is no JSON object")
        yield int(c), values, info
    if waiting:
        raise fault(f"yields nothing for {', '.join(names[c] for c in sorted(waiting))}")


def _check_planes(
    yielded: Any, problem: Problem, classes: Sequence[int], fault: _Fault
) -> Iterator[FinishedPlanes]:
    """Pass on what a method yields, as long as it is all planes in order."""
    C, X, Y, Z = problem.image.shape
    at = 0
    for planes, values, infos in _triples(yielded, fault):
        start, stop = (planes.start, planes.stop) if isinstance(planes, slice) else (None, None)
        if start != at or not isinstance(stop, int | np.integer) or not at < stop <= X:
            raise fault(f"yields {planes!r} where planes of {X} from {at} are due")
        stop = int(stop)
        shape = (len(classes), C, stop - at, Y, Z)
        if not isinstance(values, torch.Tensor) or tuple(values.shape) != shape:
            raise fault(f"yields the planes {_short(values)} for {planes!r}")
        if not bool(torch.isfinite(values).all()):
            raise fault(f"yields NaN or infinity for {planes!r}")
        if stop == X and (len(infos) != len(classes) or not all(map(_is_json_object, infos))):
            raise fault("yields information that is not a JSON object for each class")
        at = stop
        yield planes, values.detach(), infos
    if at < X:
        raise fault(f"yields nothing for planes {at} to {X}")


def _triples(yielded: Any, fault: _Fault) -> Iterator[tuple[Any, Any, Any]]:
    if not isinstance(yielded, Iterator):
        raise fault(f"returns a {type(yielded).__name__}")
    for item in yielded:
        if not isinstance(item, tuple) or len(item) != 3:
            raise fault(f"yields {_short(item)}")
        yield item


def _is_json_object(info: Any) -> bool:
    try:
        json.dumps(info)
    except (TypeError, ValueError):
        return False
    return isinstance(info, dict)


def _short(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"of shape {list(value.shape)}"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    return f"a {type(value).__name__}"
