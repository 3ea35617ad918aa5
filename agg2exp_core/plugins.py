"""A user's own code by ``module:attribute``, and its parameters as settings."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable
from importlib import import_module
from types import NoneType, UnionType, new_class
from typing import Annotated, Any, TypeVar, Union, cast

from pydantic import Field, create_model

from agg2exp_core.errors import UsageError
from agg2exp_core.settings import AnyValue, Settings

Kind = TypeVar("Kind", bound=Settings)

Refused = Callable[[str], UsageError]
"""From what is wrong with a user's code to the error."""

_PLAIN = (int, float, bool, str, tuple[int, ...], NoneType)
"""What a parameter of a function may be, alone or in a union."""


def find_plugin(what: str, reference: str) -> Any:
    """Return what ``module:attribute`` names.

    Parameters
    ----------
    what : str
        What it should be, for errors: ``method``, ``metric``.
    reference : str
        An importable module and a function or class in it.

    Raises
    ------
    UsageError
        If there is no such module or attribute, or the module fails when it is imported.
    """
    module_name, _, path = reference.partition(":")
    try:
        found = import_module(module_name)
    except Exception as error:  # whatever a user's module does when it is imported
        missing = isinstance(error, ModuleNotFoundError) and error.name in _parents(module_name)
        said = "no such module" if missing else f"a module that fails: {type(error).__name__}: {error}"
        raise UsageError(
            what,
            got=f"{reference!r}, {said}",
            allowed="module:attribute of a module that Python can import",
            remedy="run in the module's folder, or put that on PYTHONPATH",
        ) from error
    for name in path.split("."):
        if not hasattr(found, name):
            raise UsageError(
                what,
                got=f"{reference!r}, but {module_name} has no {path!r}",
                allowed="the name of a function or class in it",
                remedy="check the name after the colon",
            )
        found = getattr(found, name)
    return found


def _parents(module_name: str) -> list[str]:
    parts = module_name.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts) + 1)]


def is_frozen_dataclass(found: Any) -> bool:
    """Say whether something is a class that `dataclass` made frozen."""
    params = getattr(found, "__dataclass_params__", None)
    return isinstance(found, type) and params is not None and bool(params.frozen)


def check_settings(kind: type[Settings], refused: Refused) -> None:
    """Refuse a class of settings that cannot be made of defaults.

    Raises
    ------
    UsageError
        As `refused` makes it.
    """
    if kind.__abstractmethods__:
        raise refused(f"a class without {', '.join(sorted(kind.__abstractmethods__))}")
    for name, field in kind.model_fields.items():
        if field.is_required():
            raise refused(f"whose {name!r} has no default")
    if hasattr(kind, "__post_init__"):
        raise refused("whose __post_init__ nobody calls: check in model_post_init(self, context)")


def fields_of(parameters: Iterable[inspect.Parameter], of: Any, refused: Refused) -> dict[str, Any]:
    """Return the parameters of a function or class as fields for `pydantic.create_model`.

    A field has a name that no attribute of its class has, and the parameter's own as its alias.

    Parameters
    ----------
    parameters : iterable of inspect.Parameter
        Which.
    of : callable
        What they belong to.
    refused : callable
        Makes the error.

    Raises
    ------
    UsageError
        If one has no default, or is no number, name or truth value.
    """
    try:
        hints = typing.get_type_hints(of)
    except NameError as error:
        raise refused(f"whose annotations do not resolve ({error})") from error
    fields: dict[str, Any] = {}
    for p in parameters:
        if p.default is p.empty or p.kind is p.POSITIONAL_ONLY:
            raise refused(f"whose {p.name!r} is no keyword parameter with a default")
        hint = hints.get(p.name, Any if p.default is None else type(p.default))
        options = typing.get_args(hint) if typing.get_origin(hint) in (Union, UnionType) else (hint,)
        if hint is Any:
            hint = AnyValue
        elif not set(options) <= set(_PLAIN):
            raise refused(f"whose {p.name!r} is no number, name or truth value")
        if len(set(options) - {NoneType}) > 1:
            hint = Annotated[hint, Field(union_mode="left_to_right")]
        fields[f"parameter_{p.name}"] = (hint, Field(p.default, alias=p.name))
    return fields


def derived(kind: type[Kind], like: Any, members: dict[str, Any], fields: dict[str, Any]) -> type[Kind]:
    """Return a class that derives from one of settings, with the name, text and module of a user's code.

    Parameters
    ----------
    kind : type
        The class.
    like : class or function
        The user's.
    members : dict
        Its attributes and methods.
    fields : dict
        Its further fields, as for `pydantic.create_model`.
    """
    name = getattr(like, "__name__", type(like).__name__)
    told = {"__module__": like.__module__, "__doc__": like.__doc__}
    made = cast(type[Kind], new_class(name, (kind,), exec_body=lambda body: body.update(told | members)))
    return create_model(name, __base__=made, __module__=like.__module__, **fields) if fields else made


def given_to(settings: Settings) -> dict[str, Any]:
    """Return the values of the fields that `fields_of` made, by the names of the parameters."""
    fields = type(settings).model_fields.items()
    return {field.alias: getattr(settings, name) for name, field in fields if field.alias is not None}
