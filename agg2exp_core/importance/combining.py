"""Mergeable data combined as a tree, with Dask."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

from dask.delayed import delayed

_N_COMBINED = 8
"""How many parts one Dask task combines."""


def combined(parts: Sequence[Any]) -> Any:
    """Return the sum of delayed parts, delayed."""
    parts = list(parts)
    while len(parts) > 1:
        groups = [parts[n : n + _N_COMBINED] for n in range(0, len(parts), _N_COMBINED)]
        parts = [delayed(_total)(group) for group in groups]
    return parts[0]


def _total(parts: Sequence[Any]) -> Any:
    return reduce(add, parts)
