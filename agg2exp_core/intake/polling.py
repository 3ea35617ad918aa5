"""What is new in a source and has stood still, and its way to the importer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from agg2exp_core.intake.importer import Importer
from agg2exp_core.intake.ledger import FAILED, ImportRecord
from agg2exp_core.intake.sources import Source, listed


@dataclass(frozen=True)
class SourceUnit:
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


def settled_units(
    source: Source, importer: Importer, settle_s: float, sleep: Callable[[float], None] = time.sleep
) -> list[SourceUnit]:
    """Return what is new in a source and does not change for a while.

    Parameters
    ----------
    source : Source
        Where to look.
    importer : Importer
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
    before = [unit for unit in _units(source, importer) if not importer.ledger.knows_unit(unit.token)]
    if not before:
        return []
    sleep(settle_s)
    after = set(_units(source, importer))
    return sorted((unit for unit in before if unit in after), key=lambda unit: unit.unit)


def import_unit(source: Source, importer: Importer, unit: SourceUnit) -> list[ImportRecord]:
    """Fetch a unit and import it; it is looked at again the next time if something may pass.

    Returns
    -------
    list of ImportRecord
        How the import of each of its series and files ended.
    """
    try:
        with source.fetch(unit.unit) as files:
            records = importer.import_files(files)
    except Exception as error:
        return [ImportRecord.failed(error)]
    if all(record.status != FAILED for record in records):
        importer.ledger.keep_unit(unit.token, [record.content for record in records])
    return records


def _units(source: Source, importer: Importer) -> list[SourceUnit]:
    return [SourceUnit(unit, state, importer.token(unit, state)) for unit, state in listed(source).items()]
