"""What can go wrong, in one base and four kinds.

Every message names the place, what was got there, what is allowed, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Self


class Agg2ExpError(Exception):
    """Base of every error that a user can mend.

    Parameters
    ----------
    where : str
        The file, option or argument at fault.
    got : str
        What was found there.
    allowed : str
        What would have been accepted.
    remedy : str
        What to do about it.
    """

    def __init__(self, where: object, *, got: str, allowed: str, remedy: str) -> None:
        self.where, self.got, self.allowed, self.remedy = str(where), got, allowed, remedy
        super().__init__(self.where, got, allowed, remedy)

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.where, self.got, self.allowed, self.remedy)

    def at(self, where: object) -> Self:
        """Return the same error at another place: a scan's id in place of its path, for one."""
        return type(self)(where, got=self.got, allowed=self.allowed, remedy=self.remedy)

    @property
    def reason(self) -> str:
        """The message without the place, on one line."""
        return " ".join(f"{self.got}; allowed: {self.allowed}; {self.remedy}".split())


def _rebuild(kind: type[Agg2ExpError], where: str, got: str, allowed: str, remedy: str) -> Agg2ExpError:
    return kind(where, got=got, allowed=allowed, remedy=remedy)


class UsageError(Agg2ExpError):
    """A parameter, option or argument that has no meaning here."""


class ScanError(Agg2ExpError):
    """A scan, or a mask that belongs to it, cannot be used; the rest of its batch can."""


class ModelError(Agg2ExpError):
    """A model cannot be loaded, or does not fit the scan."""


class StoreError(Agg2ExpError):
    """A store cannot be opened, read or written, or holds something else."""


def nearest(name: object, names: Iterable[str]) -> str:
    """Return the remedy for a mistyped name: the nearest one, or to pick one."""
    close = difflib.get_close_matches(str(name), list(names), n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else "pick one of them"


def unknown_name(
    where: object,
    name: object,
    names: Iterable[str],
    *,
    kind: type[Agg2ExpError] = UsageError,
    beside: str = "",
    none: str = "nothing",
) -> Agg2ExpError:
    """Return the error for a name that is none of those known.

    Parameters
    ----------
    where : object
        The file, option or argument at fault.
    name : object
        What was given.
    names : iterable of str
        What is known.
    kind : type
        Of the error.
    beside : str
        What is allowed beside the names, such as ``module:attribute``.
    none : str
        What is allowed where there are no names.
    """
    names = list(names)
    allowed = ", ".join(names) or none
    allowed = f"{allowed} or {beside}" if beside else allowed
    return kind(where, got=repr(name), allowed=allowed, remedy=nearest(name, names))


def out_of_range(
    where: object, value: object, allowed: str, *, kind: type[Agg2ExpError] = UsageError, remedy: str = ""
) -> Agg2ExpError:
    """Return the error for a number that is outside its range.

    Parameters
    ----------
    where : object
        The file, option or argument at fault.
    value : object
        What was given.
    allowed : str
        The range, in words.
    kind : type
        Of the error.
    remedy : str
        What to do; by default to give it in that range.
    """
    return kind(where, got=str(value), allowed=allowed, remedy=remedy or f"give {where} in that range")
