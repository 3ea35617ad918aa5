"""The command `ingest`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agg2exp_cli.app import command_app
from agg2exp_cli.options import Debug, Given, State, with_options
from agg2exp_core.intake.settings import IngestSettings

if TYPE_CHECKING:
    from agg2exp_core.intake.settings import IngestSummary

app = command_app()

_KEY = "AGG2EXP_IDENTITY_KEY (or the Secret block agg2exp-identity-key) holds the key of the scan ids."


@app.command(epilog=_KEY)
@with_options(IngestSettings, arguments=["source"])
def ingest(given: Given, state: State = None, debug: Debug = False) -> int:
    """Take in new scans from a folder, S3 or a PACS, de-identified and each once."""
    settings = given.make(IngestSettings)
    from agg2exp.tasks.intake import identity_key
    from agg2exp_cli.running import carry_out, served
    from agg2exp_core.intake.settings import importer_of, source_of

    source_of(settings)
    importer_of(settings, identity_key())
    with served(state):
        from agg2exp.flows.ingest import ingest as flow

        summary = carry_out(flow, settings)
    return print_entries(summary)


def print_entries(summary: IngestSummary) -> int:
    """Print how each series fared; return the exit code."""
    from rich.table import Table

    from agg2exp_cli.exit_codes import DONE, NOTHING, SOME_FAILED
    from agg2exp_cli.running import console
    from agg2exp_core.intake.ledger import ACCEPTED, FAILED, NO_IMAGE, QUARANTINED

    n_accepted, n_bad = summary.count(ACCEPTED), summary.count(QUARANTINED, FAILED)
    table = Table(title=f"{n_accepted} of {len(summary.records)} imported into {summary.into}")
    for heading in ("content", "status", "scan", "reason"):
        table.add_column(heading)
    for record in summary.records:
        table.add_row(record.content[:12], record.status, record.scan_id, record.reason)
    console.print(table if summary.records else "nothing new")
    if summary.records and summary.count(NO_IMAGE) == len(summary.records):
        return NOTHING
    if not n_bad:
        return DONE
    return SOME_FAILED if n_bad < len(summary.records) else NOTHING
