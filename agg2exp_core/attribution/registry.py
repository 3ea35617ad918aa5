"""Attribution methods by name, and their parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agg2exp_core.attribution.captum import captum_method
from agg2exp_core.attribution.gradient import IntegratedGradients, SmoothGrad, VanillaGradient
from agg2exp_core.attribution.kernelshap import KernelShapCubes, KernelShapSemantic
from agg2exp_core.attribution.method import Method
from agg2exp_core.attribution.shapley import ShapleyCubes, ShapleySemantic
from agg2exp_core.attribution.user_method import user_method
from agg2exp_core.errors import unknown_name

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


def method_class(name: str) -> type[Method]:
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
    home, _, attribute = name.partition(":")
    if not (home and attribute):
        raise unknown_name("method", name, [*METHODS, "captum:NAME"], beside="module:attribute")
    return captum_method(attribute) if home == "captum" else user_method(name)


def make_method(name: str, params: Mapping[str, Any] | None = None) -> Method:
    """Return a method with its parameters, given as values or as text.

    Parameters
    ----------
    name : str
        As for `method_class`.
    params : mapping
        Parameters by name; what is left out has its default.

    Raises
    ------
    UsageError
        If the method or a parameter does not exist, or a value is not of its type or range.
    """
    return method_class(name)(**(params or {}))


def parameters(method: Method) -> dict[str, Any]:
    """Return all parameters of a method, JSON-ready: what its result depends on."""
    return method.model_dump(by_alias=True)


def is_default(method: Method) -> bool:
    """Say whether every parameter has its default, so that the method's name is its label."""
    return all(getattr(method, name) == field.default for name, field in type(method).model_fields.items())
