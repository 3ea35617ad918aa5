"""What is new in a source and has settled, and its way in."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from agg2exp_core.intake.ledger import FAILED, Entry
from agg2exp_core.intake.sources import Source, listed
from agg2exp_core.intake.taking import Intake, failed


@dataclass(frozen=True)
class Arrival:
    """A unit of a source as it lay there.

    Parameters
    ----------
    unit, state : str
        Its name and state in the source; never shown.
    token : str
        Keyed hash of both.
    """

    unit: str = field(repr=False)
    state: str = field(repr=False)
    token: str


def settled(
    source: Source, intake: Intake, settle_s: float, sleep: Callable[[float], None] = time.sleep
) -> list[Arrival]:
    """Return what is new in a source and does not change for a while.

    Parameters
    ----------
    source : Source
        Where to look.
    intake : Intake
        Whose ledger says what is known.
    settle_s : float
        Seconds for which sizes and times must stay as they are; what changes is left for the next time.
    sleep : callable
        Waits for a number of seconds.

    Raises
    ------
    StoreError
        If the source does not answer.
    """
    before = [
        arrival for arrival in _arrivals(source, intake) if not intake.ledger.knows_arrival(arrival.token)
    ]
    if not before:
        return []
    sleep(settle_s)
    after = set(_arrivals(source, intake))
    return sorted((arrival for arrival in before if arrival in after), key=lambda arrival: arrival.unit)


def take_arrival(source: Source, intake: Intake, arrival: Arrival) -> list[Entry]:
    """Fetch an arrival and take it in; it is looked at again the next time if something may pass.

    Returns
    -------
    list of Entry
        How each of its series and files fared.
    """
    try:
        with source.fetch(arrival.unit) as files:
            entries = intake.take(files)
    except Exception as error:
        return [failed(error)]
    if all(entry.status != FAILED for entry in entries):
        intake.ledger.record_arrival(arrival.token, [entry.content for entry in entries])
    return entries


def _arrivals(source: Source, intake: Intake) -> list[Arrival]:
    return [Arrival(unit, state, intake.token(unit, state)) for unit, state in listed(source).items()]
