"""Drift: whether the scans that came in still look like the reference, a look at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from agg2exp_core.analysis.cohort import Cohort
from agg2exp_core.analysis.cohort_comparison import energy_distance

LEAST_NEW = 10
"""Scans of a look; fewer wait for more."""


@dataclass(frozen=True)
class Look:
    """A permutation test of some new scans against the reference.

    Parameters
    ----------
    scans : tuple of str
        The new scans; no two looks have one in common.
    energy, p_value : float
        Energy distance, and its p-value.
    alarm : bool
        Whether the p-value is at most the rate of false alarms.
    """

    scans: tuple[str, ...]
    energy: float
    p_value: float
    alarm: bool


@dataclass(frozen=True)
class Watch:
    """All looks at one reference.

    Parameters
    ----------
    reference : str
        Identity of the reference's matrices.
    false_alarm_rate : float
        How often a look raises an alarm while nothing has changed, at most.
    looks : tuple of Look
        In the order in which they were made.
    waiting : tuple of str
        Scans that no look has seen.
    """

    reference: str
    false_alarm_rate: float
    looks: tuple[Look, ...] = ()
    waiting: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the watch, JSON-ready."""
        return asdict(self)

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> Watch:
        """Return a watch from what `to_json` returned."""
        looks = tuple(Look(**{**look, "scans": tuple(look["scans"])}) for look in record["looks"])
        return Watch(record["reference"], record["false_alarm_rate"], looks, tuple(record["waiting"]))


def look_again(before: Watch | None, cohort: Cohort, reference: Cohort, rate: float, seed: int = 0) -> Watch:
    """Look at the scans that no look has seen, if they are enough.

    Scans that are exchangeable with the reference raise an alarm with a probability of at most `rate`.

    Parameters
    ----------
    before : Watch or None
        The looks so far; those at another reference or another rate are forgotten.
    cohort, reference : Cohort
        Scans that came in, and those that they should resemble.
    rate : float
        Of false alarms.
    seed : int
        Of the permutations.

    Raises
    ------
    UsageError
        If the reference is too small, or of other classes.
    """
    identity = _identity(reference)
    if before is None or (before.reference, before.false_alarm_rate) != (identity, rate):
        before = Watch(identity, rate)
    seen = {scan for look in before.looks for scan in look.scans}
    new = tuple(scan for scan in cohort.scans if scan not in seen)
    if len(new) < LEAST_NEW:
        return Watch(identity, rate, before.looks, new)
    distance = energy_distance(cohort.subset(set(new)), reference, seed=seed)
    look = Look(new, distance.energy, distance.p_value, distance.p_value <= rate)
    return Watch(identity, rate, (*before.looks, look))


def _identity(cohort: Cohort) -> str:
    digest = hashlib.sha256("\n".join((*cohort.scans, *cohort.targets, *cohort.rois)).encode())
    digest.update(np.ascontiguousarray(np.round(cohort.shares, 9)).tobytes())
    return digest.hexdigest()
