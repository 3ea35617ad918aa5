"""Settings: what users choose, as frozen data that is checked when it is made.

Parameters of methods and metrics, descriptions of models and trainings, and the options of every command
are `Settings`. A field carries its type, default and range; the text below it is its help wherever it is
shown: on the command line, in the form of a deployment, in Python.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Self, Union, get_args, get_origin

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo

from agg2exp_core.errors import Agg2ExpError, UsageError, out_of_range, unknown_name


@dataclass(frozen=True)
class Flag:
    """The option of a field on the command line, where it is not the field's own name with dashes.

    Parameters
    ----------
    name : str
        Such as ``--store-as``; of a field that is true by default, the option that makes it false.
    commas : bool
        Whether one value of the option may hold several, with commas.
    variable : str, optional
        The environment variable that stands in for the option.
    """

    name: str
    commas: bool = False
    variable: str | None = None


@dataclass(frozen=True)
class Place:
    """Of a field that is a path, or several: what is no address lies on the disk, and may be relative.

    Parameters
    ----------
    or_name : bool
        Whether it may be a name too: then it is a path if it has a slash, or something of that name is there.
    """

    or_name: bool = False

    def is_relative(self, text: str) -> bool:
        """Say whether a text is a path that means something else in another folder."""
        path = Path(text).expanduser()
        if not text or "://" in text or path.is_absolute():
            return False
        return not self.or_name or len(path.parts) > 1 or path.exists()


def _no_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a truth value is no number")
    return value


def _parts(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


Count = Annotated[int, BeforeValidator(_no_truth)]
"""A whole number, from text too; True and False are none."""
Positive = Annotated[Count, Field(ge=1)]
"""A whole number of 1 or more."""
Real = Annotated[float, BeforeValidator(_no_truth)]
"""A finite number, from text too; True and False are none."""
Wholes = Annotated[tuple[Count, ...], BeforeValidator(_parts)]
"""Whole numbers, from text with commas too."""

_WORDS: dict[str, Any] = {"none": None, "true": True, "false": False}


def _literal(value: Any) -> Any:
    """Return what a text looks like; other values as they are."""
    if not isinstance(value, str):
        return value
    if "," in value:
        return tuple(map(_literal, value.split(",")))
    text = value.strip()
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        return number if math.isfinite(number) else text
    return text


AnyValue = Annotated[Any, BeforeValidator(_literal)]
"""Anything; of a text what it looks like: none, a truth value, a number, several with commas, or itself."""


class Settings(BaseModel):
    """Base of all settings: frozen, nothing unknown in them, numbers finite, values from text too.

    A text may be a number, ``true`` or ``false``, numbers such as ``8,8,8``, and ``none`` where a field may
    be None. True and False are no numbers.

    Raises
    ------
    UsageError
        If a field is unknown, missing, of another type or out of its range.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        validate_default=True,
        protected_namespaces=(),
    )

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise refusal(error, type(self)) from None

    # Settings within others are then checked without it, and a failure keeps its whole path.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @classmethod
    def checked(cls, content: Any, where: object) -> Self:
        """Return settings of the content of a file.

        Raises
        ------
        UsageError
            Which names the file, and the path in it of what is unknown, missing or out of range.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise refusal(error, cls, where) from None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in ("__init__", "__eq__", "__repr__"):  # `@dataclass` leaves alone what a class has itself
            if name not in vars(cls):
                setattr(cls, name, getattr(cls, name))

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, values: Any) -> Any:
        """Read each text as what its field may be, and let no truth value pass for a number."""
        if not isinstance(values, dict):
            return values
        fields = _fields(cls)
        return {
            name: _read(value, fields[name]) if name in fields else value for name, value in values.items()
        }

    def relative_places(self) -> dict[str, str]:
        """Return the relative paths among the values, by option."""
        return {
            self.option(name): text
            for name, place, value in self._places()
            for text in ([value] if isinstance(value, str) else value)
            if place.is_relative(text)
        }

    def placed(self) -> Self:
        """Return the same settings with absolute paths, as they are meant in the folder of this process."""
        changes: dict[str, Any] = {
            name: value.placed() for name, value in self if isinstance(value, Settings)
        }
        for name, place, value in self._places():
            texts = [value] if isinstance(value, str) else value
            full = [str(Path(t).expanduser().absolute()) if place.is_relative(t) else t for t in texts]
            changes[name] = full[0] if isinstance(value, str) else full
        return self.model_copy(update=changes)

    def _places(self) -> Iterator[tuple[str, Place, str | list[str]]]:
        for name, field in type(self).model_fields.items():
            place = next((part for part in field.metadata if isinstance(part, Place)), None)
            value = getattr(self, name)
            if place is not None and value is not None:
                yield name, place, value

    @classmethod
    def option(cls, name: str) -> str:
        """Return what users call a field: its option where it has one of its own, else its name."""
        field = cls.model_fields.get(name)
        flags = [] if field is None else [part.name for part in field.metadata if isinstance(part, Flag)]
        return flags[0] if flags else name


def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds.

    Raises
    ------
    UsageError
        If it cannot be read.
    """
    try:
        return yaml.safe_load(path.read_text())
    except OSError as error:
        raise UsageError(
            path,
            got=f"nothing that can be read ({error.strerror})",
            allowed="a YAML file",
            remedy="check the path",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(
            path, got="text that is not YAML", allowed="settings by name", remedy="correct the file"
        ) from error


class _TruthValue(str):
    """True or False as a text that is told without quotes."""

    def __repr__(self) -> str:
        return str(self)


def _read(value: Any, field: FieldInfo) -> Any:
    kinds = _kinds(field.annotation)
    if isinstance(value, bool) and bool not in kinds and {int, float}.intersection(kinds):
        return _TruthValue(value)  # a text that is no number: pydantic takes True for 1
    if isinstance(value, str) and value.strip().lower() == "none" and NoneType in kinds:
        return None
    return _parts(value) if isinstance(value, str) and tuple in kinds else value


def _kinds(annotation: Any) -> tuple[Any, ...]:
    """Return the types that an annotation names: those of a union, tuple for a tuple of something."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return tuple(kind for option in get_args(annotation) for kind in _kinds(option))
    return _kinds(get_args(annotation)[0]) if origin is Annotated else (origin or annotation,)


_KINDS: dict[str, str] = {
    "int": "a whole number",
    "str": "a name",
    "float": "a number",
    "finite": "a finite number",
    "value": "a number",
    "bool": "true or false",
    "string": "a name",
    "tuple": "whole numbers such as 8,8,8",
    "list": "several values",
    "dict": "names with values",
    "model": "settings by name",
    "NoneType": "none",
}
"""What is allowed, by the first word of pydantic's name for a failure, or the name of a type."""


def refusal(error: ValidationError, kind: type[BaseModel], where: object = None) -> Agg2ExpError:
    """Return one sentence for what pydantic refused first.

    Parameters
    ----------
    error : ValidationError
        Of pydantic.
    kind : type
        The settings that were to be made.
    where : object, optional
        The file that they are from; the place is then the path of the field within it.
    """
    first = error.errors(include_url=False)[0]
    names, holder, choices = _trace(first["loc"], kind)
    name = names[-1] if names else "it"
    field = _fields(holder).get(name)
    place = ".".join(names) or holder.__name__
    if where is not None:
        place = f"{where}: {'.'.join(names)}" if names else str(where)
    elif len(names) == 1 and issubclass(kind, Settings):
        place = kind.option(name)
    failure, got, told = first["type"], first["input"], first.get("ctx", {})
    if failure == "extra_forbidden":
        return unknown_name(place, name, _fields(holder), none="no parameter")
    if failure == "literal_error":
        return unknown_name(place, got, told["expected"].replace("'", "").replace(" or ", ", ").split(", "))
    if failure.startswith("union_tag"):
        tag = told["discriminator"].strip("'")
        tags = [str(choice.model_fields[tag].default) for choice in choices]
        return unknown_name(f"{place}.{tag}", told.get("tag"), tags)
    if failure.startswith(("greater_than", "less_than")):
        allowed = _range(field.metadata if field else [], told)
        return out_of_range(place, got, allowed, remedy=f"give {name} in that range")
    if field is not None and get_origin(field.annotation) is tuple and failure in ("missing", "too_long"):
        allowed = f"{len(get_args(field.annotation))} values"
    elif failure == "missing":
        return UsageError(place, got="nothing", allowed=f"a value of {name}", remedy="give it")
    else:
        is_part = bool(first["loc"]) and isinstance(first["loc"][-1], int)
        allowed = _allowed(failure, None if is_part else field) or first["msg"]
    return UsageError(place, got=repr(got), allowed=allowed, remedy=f"give {name} as {allowed}")


def _trace(
    loc: tuple[int | str, ...], kind: type[BaseModel]
) -> tuple[list[str], type[BaseModel], list[type[BaseModel]]]:
    """Return the fields that lead to a failure, the settings that hold the last one, and what it may be."""
    names: list[str] = []
    holder, choices = kind, [kind]
    for part in loc:
        if isinstance(part, int):
            continue
        if len(choices) > 1:  # the tag that tells the members of a union apart
            choices = [c for c in choices if any(f.default == part for f in c.model_fields.values())]
        elif choices:
            holder = choices[0]
            names.append(part)
            field = _fields(holder).get(part)
            choices = [] if field is None else _settings_in(field.annotation)
    return names, holder, choices


def _settings_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the settings that a type names."""
    if isinstance(annotation, type) and get_origin(annotation) is None and issubclass(annotation, BaseModel):
        return [annotation]
    return [kind for part in get_args(annotation) for kind in _settings_in(part)]


def _fields(kind: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of settings by the names that users give them."""
    return {field.alias or name: field for name, field in kind.model_fields.items()}


def _allowed(failure: str, field: FieldInfo | None) -> str:
    """Return in words what a field may be, or what a failure tells of it; empty where it tells nothing."""
    told = _KINDS.get(failure.partition("_")[0], "")
    if field is None or not failure.endswith(("_type", "_parsing", "_from_float")):
        return told
    names = (getattr(kind, "__name__", "") for kind in _kinds(field.annotation))
    return " or ".join(_KINDS[name] for name in names if name in _KINDS) or told


def _range(metadata: list[Any], told: dict[str, Any]) -> str:
    """Return a range in words: of the limits of a field, or of the one that a failure tells of."""
    limits = {
        sign: getattr(part, sign)
        for sign in ("ge", "gt", "le", "lt")
        for part in metadata
        if hasattr(part, sign)
    }
    limits = limits or told
    words = {"ge": "{} or more", "gt": "more than {}", "le": "{} or less", "lt": "less than {}"}
    if limits.keys() == {"ge", "le"}:
        return f"{limits['ge']} to {limits['le']}"
    return ", ".join(text.format(limits[sign]) for sign, text in words.items() if sign in limits)
