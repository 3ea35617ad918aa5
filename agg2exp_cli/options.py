"""From settings to options: the fields of settings become the options of a command, and back.

Each field gives its option's name, type, default, help and range; what a command takes beside them are the
parameters of its function.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from agg2exp_core.errors import UsageError
from agg2exp_core.settings import Flag, Settings

State = Annotated[
    Path | None, typer.Option("--state", help="Folder of the run history (default ~/.agg2exp).")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]

S = TypeVar("S", bound=Settings)
_SIGNS = {Ge: "ge", Gt: "gt", Le: "le", Lt: "lt"}


class Given:
    """What was given on the command line, by option.

    Parameters
    ----------
    values : mapping
        Of each option, as the command line read it; None or empty where it was left out.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def make(self, kind: type[S], **fixed: Any) -> S:
        """Return settings of a kind from the options of its fields.

        Parameters
        ----------
        kind : type
            The settings.
        **fixed
            Fields that follow from something else than an option.

        Raises
        ------
        UsageError
            If a value is refused.
        """
        values = {}
        for name, field in kind.model_fields.items():
            option = option_of(kind, name)
            if name not in fixed and option in self._values:
                value = _read(option, field, self._values[option])
                if value is not None:
                    values[name] = value
        try:
            return kind(**values, **fixed)
        except UsageError as error:
            if error.where not in kind.model_fields:
                raise
            raise error.at(option_of(kind, error.where)) from None


def option_of(kind: type[Settings], name: str) -> str:
    """Return the option of a field: its own, or the field's name with dashes."""
    option = kind.option(name)
    return option if option.startswith("--") else f"--{name.replace('_', '-')}"


def with_options(
    *kinds: type[Settings], arguments: Sequence[str] = (), leave_out: Sequence[str] = ()
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Let a function whose first parameter is a `Given` take the fields of settings as options.

    An option that several kinds have means the same to each, and is there once.

    Parameters
    ----------
    *kinds : type
        Settings, in the order of the help.
    arguments : sequence of str
        Fields that are arguments, not options.
    leave_out : sequence of str
        Fields that follow from something else, such as ``intake``, or of one kind ``AnalyseSettings.store``.
    """

    def decorate(function: Callable[..., int]) -> Callable[..., int]:
        _, *own = inspect.signature(function, eval_str=True).parameters.values()
        options: dict[str, str] = {}
        parameters: list[inspect.Parameter] = []
        for kind in kinds:
            for name, field in kind.model_fields.items():
                option = option_of(kind, name)
                is_left_out = {name, f"{kind.__name__}.{name}"} & set(leave_out)
                if not is_left_out and option not in options.values():
                    key = name if name not in options else f"{name}_{len(options)}"
                    options[key] = option
                    parameters.append(_parameter(key, option, field, is_argument=name in arguments))
        of_all = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*parameters, *own)]
        in_order = [p for p in of_all if _is_argument(p)] + [p for p in of_all if not _is_argument(p)]

        def run(**values: Any) -> int:
            given = Given({option: values.pop(key) for key, option in options.items()})
            return function(given, **values)

        run.__name__, run.__doc__ = function.__name__, function.__doc__
        run.__signature__ = inspect.Signature(in_order)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in in_order}
        return run

    return decorate


def _is_argument(parameter: inspect.Parameter) -> bool:
    metadata = getattr(parameter.annotation, "__metadata__", ())
    return any(isinstance(part, typer.models.ArgumentInfo) for part in metadata)


def _parameter(key: str, option: str, field: FieldInfo, *, is_argument: bool) -> inspect.Parameter:
    required = field.is_required()
    default: Any = inspect.Parameter.empty if required else None
    limits = _limits(field)
    text = " ".join((field.description or "").split()) + (f" [{limits}]" if limits else "")
    kind = _plain(field.annotation)
    variable = next((part.variable for part in field.metadata if isinstance(part, Flag)), None)
    if kind is bool:
        default, info = False, typer.Option(option, help=text)
    elif typing.get_origin(kind) in (list, dict):
        kind = list[str] if required else list[str] | None
        info = typer.Argument(help=text) if is_argument else typer.Option(option, help=text)
    else:
        kind = str if kind not in (int, float) else kind
        if not required:
            default = None if field.get_default(call_default_factory=True) is None else field.default
            kind = kind if default is not None else kind | None
        info = typer.Argument(help=text) if is_argument else typer.Option(option, help=text, envvar=variable)
    return inspect.Parameter(
        key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info]
    )


def _plain(annotation: Any) -> Any:
    """Return a type without None and without what is annotated."""
    if typing.get_origin(annotation) is Annotated:
        return _plain(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return _plain(next(part for part in typing.get_args(annotation) if part is not type(None)))
    return annotation


def _limits(field: FieldInfo) -> str:
    """Return the range of a field in words, empty if it has none."""
    inner = typing.get_args(field.annotation)
    metadata = [*field.metadata, *(part for arg in inner for part in getattr(arg, "__metadata__", ()))]
    found: list[Any] = []
    for part in metadata:
        found += getattr(part, "metadata", None) or [part]
    words = {"ge": "{:g} or more", "gt": "more than {:g}", "le": "{:g} or less", "lt": "less than {:g}"}
    return ", ".join(
        words[sign].format(getattr(part, sign))
        for part in found
        for kind, sign in _SIGNS.items()
        if isinstance(part, kind)
    )


def _read(option: str, field: FieldInfo, value: Any) -> Any:
    """Return the value of a field from that of its option; None where it was left out."""
    kind = _plain(field.annotation)
    if kind is bool:
        return not value if field.default is True else value
    if typing.get_origin(kind) is dict:
        nested = typing.get_origin(typing.get_args(kind)[1]) is dict
        return (_by_name if nested else assigned)(option, value or []) or None
    if any(isinstance(part, Flag) and part.commas for part in field.metadata) and value:
        return [part for text in value for part in text.split(",")]
    return value if value != [] else None


def assigned(option: str, texts: Sequence[str]) -> dict[str, str]:
    """Return the parameters of ``name=value`` texts.

    Raises
    ------
    UsageError
        If one is no assignment, or a name comes twice.
    """
    params: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or name.strip() in params:
            raise UsageError(
                option,
                got=f"{text!r}",
                allowed="name=value, each name once, such as n_samples=5",
                remedy="write it so",
            )
        params[name.strip()] = value.strip()
    return params


def _by_name(option: str, texts: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the parameters of ``NAME.parameter=value`` texts by NAME."""
    found: dict[str, dict[str, str]] = {}
    for key, value in assigned(option, texts).items():
        name, dot, parameter = key.rpartition(".")
        if not dot or not name or not parameter:
            raise UsageError(
                option,
                got=f"{key!r}",
                allowed="NAME.parameter=value, such as smoothgrad.n_samples=5",
                remedy="write it so",
            )
        found.setdefault(name, {})[parameter] = value
    return found
