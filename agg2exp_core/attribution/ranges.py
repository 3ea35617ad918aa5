"""What a method's parameters may be, checked when the method is made."""

from __future__ import annotations

from collections.abc import Iterable

from agg2exp_core.errors import UsageError


def at_least(name: str, value: float, least: float) -> None:
    """Refuse a number below `least`, and infinity.

    Raises
    ------
    UsageError
        Naming the parameter.
    """
    if not least <= value < float("inf"):
        raise UsageError(
            name, got=f"{value}", allowed=f"{least} or more", remedy=f"give {name} in that range"
        )


def one_of(name: str, value: str, allowed: Iterable[str]) -> None:
    """Refuse what is none of the names.

    Raises
    ------
    UsageError
        Naming the parameter.
    """
    if value not in allowed:
        raise UsageError(name, got=f"{value!r}", allowed=", ".join(allowed), remedy="pick one of them")
