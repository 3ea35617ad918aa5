"""Ratios of wall times in one run: the works take turns, so that what else the machine does hits all."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

import torch
from rich.console import Console
from rich.table import Table

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class Spread:
    """What repeats of a figure gave.

    Parameters
    ----------
    values : tuple of float
        One for each repeat.
    """

    values: tuple[float, ...]

    def __str__(self) -> str:
        return _text(median(self.values))

    @property
    def range(self) -> str:
        """Smallest and largest, empty for a single value."""
        return f"{_text(min(self.values))} to {_text(max(self.values))}" if len(self.values) > 1 else ""


def _text(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Parameters
    ----------
    what : str
        The figure in words, its unit included.
    figure : Spread
        Judged by its median.
    at_most, at_least : float, optional
        The target; none for a figure that only informs.
    """

    what: str
    figure: Spread
    at_most: float | None = None
    at_least: float | None = None

    @property
    def target(self) -> str:
        """The target in words, empty without one."""
        if self.at_most is not None:
            return f"at most {_text(self.at_most)}"
        return "" if self.at_least is None else f"at least {_text(self.at_least)}"

    @property
    def met(self) -> bool | None:
        """Whether the median meets the target; None without one."""
        middle = median(self.figure.values)
        if self.at_most is not None:
            return middle <= self.at_most
        return None if self.at_least is None else middle >= self.at_least


def once(what: str, value: float, *, at_most: float | None = None, at_least: float | None = None) -> Row:
    """Return a row of a figure that repeats do not change."""
    return Row(what, Spread((value,)), at_most, at_least)


def alternate(works: Mapping[Name, Callable[[], object]], n_repeats: int) -> dict[Name, list[float]]:
    """Time works in turn, A B C A B C; return seconds by name.

    Parameters
    ----------
    works : mapping of name to callable
        What to time.
    n_repeats : int
        Timed turns.
    """
    seconds: dict[Name, list[float]] = {name: [] for name in works}
    for _ in range(n_repeats):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def ratio(over: Sequence[float], under: Sequence[float], scale: float = 1.0) -> Spread:
    """Return ``over / (scale * under)``, turn by turn."""
    return Spread(tuple(a / (scale * b) for a, b in zip(over, under, strict=True)))


def print_table(title: str, rows: Sequence[Row]) -> None:
    """Print rows, each with its median, its spread, its target, and whether that is met."""
    machine = f"torch {torch.__version__} with {torch.get_num_threads()} threads"
    table = Table(title=title, caption=machine)
    for heading in ("", "median", "spread", "target", "met"):
        table.add_column(heading)
    for row in rows:
        met = "" if row.met is None else ("yes" if row.met else "no")
        table.add_row(row.what, str(row.figure), row.figure.range, row.target, met)
    console = Console()
    console.width = max(console.width, 140)
    console.print(table)
