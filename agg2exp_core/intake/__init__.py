"""Intake: what arrives in a folder, an S3 prefix or a PACS becomes de-identified scans, each taken in once.

Nothing that is written, returned or raised here names a patient, a file or an address of a series.
"""

from agg2exp_core.intake.arrivals import Arrival, settled, take_arrival
from agg2exp_core.intake.ledger import Entry, Ledger
from agg2exp_core.intake.opening import open_source
from agg2exp_core.intake.sources import FolderSource, S3Source, Source
from agg2exp_core.intake.taking import Intake

__all__ = [
    "Arrival",
    "Entry",
    "FolderSource",
    "Intake",
    "Ledger",
    "S3Source",
    "Source",
    "open_source",
    "settled",
    "take_arrival",
]
