"""Attribution methods by name, and their parameters from text."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from agg2exp_core.attribution.aggregation import parse_aggregation
from agg2exp_core.attribution.captum_methods import captum_method
from agg2exp_core.attribution.gradient import IntegratedGradients, SmoothGrad, VanillaGradient
from agg2exp_core.attribution.kernelshap import KernelShapCubes, KernelShapSemantic
from agg2exp_core.attribution.method import Method
from agg2exp_core.attribution.own import own_method
from agg2exp_core.attribution.parsing import parse_value
from agg2exp_core.attribution.shapley import ShapleyCubes, ShapleySemantic
from agg2exp_core.errors import UsageError

METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (
        VanillaGradient,
        SmoothGrad,
        IntegratedGradients,
        KernelShapCubes,
        KernelShapSemantic,
        ShapleyCubes,
        ShapleySemantic,
    )
}
"""The methods that come with the package."""


def nearest(name: str, names: Iterable[str]) -> str:
    """Return the remedy for a mistyped name: the nearest one, or the whole list."""
    names = list(names)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else "pick one of them"


def method_kind(name: str) -> type[Method]:
    """Return the class of a method.

    Parameters
    ----------
    name : str
        A key of `METHODS`, ``captum:NAME`` for a method of Captum's, or ``module:attribute`` for a
        user's own.

    Raises
    ------
    UsageError
        If there is none.
    """
    if name in METHODS:
        return METHODS[name]
    home, colon, attribute = name.partition(":")
    if not (home and colon and attribute):
        raise UsageError(
            "method",
            got=f"{name!r}",
            allowed=f"{', '.join(METHODS)}, captum:NAME or module:attribute",
            remedy=nearest(name, METHODS),
        )
    return captum_method(attribute) if home == "captum" else own_method(name)


def make_method(name: str, params: Mapping[str, Any] | None = None) -> Method:
    """Return a method with its parameters, given as values or as text.

    Parameters
    ----------
    name : str
        As for `method_kind`.
    params : mapping
        Parameters by name; what is left out has its default.

    Raises
    ------
    UsageError
        If the method or a parameter does not exist, or a value is not of its type or range.
    """
    kind = method_kind(name)
    method = kind(**parse_fields(kind, name, params or {}))
    parse_aggregation(method.aggregation)
    return method


def parse_fields(kind: type, name: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return values for the fields of a dataclass, from values or text.

    Parameters
    ----------
    kind : type
        The dataclass.
    name : str
        What users call it.
    params : mapping
        Values by field; what is left out keeps its default.

    Raises
    ------
    UsageError
        If there is no such field, or a value is not of its type.
    """
    types = typing.get_type_hints(kind)
    fields = [f.name for f in dataclasses.fields(kind)]
    values = {}
    for key, value in params.items():
        if key not in fields:
            raise UsageError(
                key,
                got=f"{key!r} for {name}",
                allowed=", ".join(fields) or "no parameter",
                remedy=nearest(key, fields),
            )
        values[key] = parse_value(key, value, types[key])
    return values


def parameters(method: Method) -> dict[str, Any]:
    """Return all parameters of a method, JSON-ready: what its result depends on."""
    return dataclasses.asdict(method)


def is_default(method: Method) -> bool:
    """Say whether every parameter has its default, so that the method's name is its label."""
    return all(getattr(method, field.name) == field.default for field in dataclasses.fields(method))
