"""Values of parameters from text, by the type that a method declares."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Callable
from typing import Any

from agg2exp_core.errors import UsageError


def parse_value(name: str, value: Any, kind: Any) -> Any:
    """Return a parameter's value in its declared type.

    Parameters
    ----------
    name : str
        Of the parameter, for the message.
    value : object
        A value, or text.
    kind : type
        ``int``, ``float``, ``bool``, ``str``, ``tuple[int, ...]``, None, or a union of these;
        ``Any`` for what `literal` makes of it.

    Raises
    ------
    UsageError
        If the value is not of the type.
    """
    if kind is Any:
        return literal(value) if isinstance(value, str) else value
    union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    kinds = typing.get_args(kind) if union else (kind,)
    for option in kinds:
        try:
            return _PARSERS[option][0](value)
        except (TypeError, ValueError):
            continue
    words = " or ".join(_PARSERS[option][1] for option in kinds)
    raise UsageError(name, got=f"{value!r}", allowed=words, remedy=f"give {name} as {words}")


def literal(text: str) -> Any:
    """Return what a text looks like: None, a truth value, a number, several with commas, or itself."""
    if "," in text:
        return tuple(literal(part) for part in text.split(","))
    for parse in (_none, _truth, _whole, _number):
        try:
            return parse(text)
        except ValueError:
            continue
    return text.strip()


def _none(value: Any) -> None:
    if str(value).strip().lower() != "none":
        raise ValueError(value)


def _truth(value: Any) -> bool:
    text = str(value).strip().lower()
    if text not in ("true", "false"):
        raise ValueError(value)
    return text == "true"


def _whole(value: Any) -> int:
    whole = int(value)
    if float(value) != whole or isinstance(value, bool):
        raise ValueError(value)
    return whole


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number) or isinstance(value, bool):
        raise ValueError(value)
    return number


def _wholes(value: Any) -> tuple[int, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    return tuple(_whole(part) for part in parts)


_PARSERS: dict[Any, tuple[Callable[[Any], Any], str]] = {
    int: (_whole, "a whole number"),
    float: (_number, "a number"),
    bool: (_truth, "true or false"),
    str: (str, "a name"),
    tuple[int, ...]: (_wholes, "whole numbers such as 8,8,8"),
    type(None): (_none, "none"),
}
"""How a declared type is read, and what it is called."""

PARAMETER_TYPES: tuple[Any, ...] = tuple(_PARSERS)
"""The types that a parameter may declare, alone or in a union."""
