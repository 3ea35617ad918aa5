"""Which rows of a user's file belong to which scans of a store; a file of other scans is refused."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from agg2exp_core.errors import UsageError

LEAST_MATCHED = 0.5
"""Of the scans, or of the rows if these are fewer: below it, ids are rather written differently."""
_N_NAMED = 5


def matched(option: str, ids: Iterable[str], scans: Iterable[str], *, partial: bool = False) -> str:
    """Return in words how many of some scans a file knows, and which it does not.

    Ids of the file that are no scan's are counted and not named: they may be those of patients.

    Parameters
    ----------
    option : str
        By which the file was given.
    ids : iterable of str
        Those of its rows.
    scans : iterable of str
        Those of the store.
    partial : bool
        Whether few may match.

    Raises
    ------
    UsageError
        If none matches, or fewer than half.
    """
    rows, known = set(map(str, ids)), set(map(str, scans))
    both = rows & known
    said = f"matched {len(both)} of {len(known)} scans"
    if known - both:
        said += f" (not found: {named(known - both)})"
    if rows - both:
        said += f"; {len(rows - both)} of its {len(rows)} ids are of no scan of the store"
    if not both or (len(both) < LEAST_MATCHED * min(len(rows), len(known)) and not partial):
        alike = {_plain(row) for row in rows} & {_plain(scan) for scan in known}
        remedy = "compare its ids with those of `agg2exp export STORE --out table.csv`"
        if len(alike) > len(both):
            remedy = "they differ by case, zeros in front or an ending: write them as the store does"
        elif both:
            remedy += ", or give --partial if so few are meant"
        raise UsageError(option, got=said, allowed="rows of at least half of the scans", remedy=remedy)
    return said


def named(names: Iterable[str]) -> str:
    """Return some names in words: the first ones, and how many more there are."""
    ordered = sorted(names)
    more = len(ordered) - _N_NAMED
    return ", ".join(ordered[:_N_NAMED]) + (f" and {more} more" if more > 0 else "")


def _plain(name: str) -> str:
    return PurePosixPath(name.casefold()).name.split(".")[0].lstrip("0")
