"""Intake as tasks: what arrived is found, and taken in one by one; no parameter or name tells whose it is."""

from __future__ import annotations

import os
from typing import Any, cast

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from agg2exp.tasks.artifacts import artifact_key
from agg2exp_core.dicom import IdentityKey
from agg2exp_core.dicom.pseudonyms import KEY_VARIABLE
from agg2exp_core.intake.ledger import ImportRecord
from agg2exp_core.intake.polling import SourceUnit, import_unit, settled_units
from agg2exp_core.intake.settings import IngestSettings, importer_of, source_of

SECRET_BLOCK = "agg2exp-identity-key"
"""Name of the Secret block that holds the key where the environment does not."""

_UNSEEN: dict[str, Any] = {"persist_result": False, "cache_policy": NO_CACHE}
"""Arguments and results stay in this process: they hold names of files."""


@task(name="look for new scans", **_UNSEEN)
def find_units(settings: IngestSettings) -> list[SourceUnit]:
    """Return what is new in the source and has settled."""
    return settled_units(source_of(settings), importer_of(settings, identity_key()), settings.settle_s)


@task(name="import", task_run_name="import {unit.token:.8}", **_UNSEEN)
def import_scans(settings: IngestSettings, unit: SourceUnit) -> list[ImportRecord]:
    """Import the scans of one unit of the source; what is bad is in the ledger, with its reason."""
    return import_unit(source_of(settings), importer_of(settings, identity_key()), unit)


@task(name="report intake", **_UNSEEN)
def report_intake(records: list[ImportRecord]) -> None:
    """Show how each series fared in the UI."""
    create_table_artifact(
        key=artifact_key("intake"),
        description="What came in, by the keyed hash of its content",
        table=[
            {"content": r.content[:12], "status": r.status, "scan": r.scan_id, "reason": r.reason}
            for r in records
        ],
    )


def identity_key() -> IdentityKey:
    """Return the hospital's key: from the environment, else from a Secret block of the Prefect server.

    Raises
    ------
    UsageError
        If neither holds one.
    """
    secret = os.environ.get(KEY_VARIABLE, "")
    if not secret and os.environ.get("PREFECT_API_URL"):
        secret = _secret_block()
    return IdentityKey(secret)


def _secret_block() -> str:
    from prefect.blocks.system import Secret

    try:
        return str(cast("Secret[str]", Secret.load(SECRET_BLOCK)).get())
    except ValueError:  # there is no such block
        return ""
