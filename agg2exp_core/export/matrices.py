"""The local matrices of all scans as a table in the paper's column scheme."""

from __future__ import annotations

from pathlib import Path

from agg2exp_core.files import whole_file
from agg2exp_core.importance import to_table
from agg2exp_core.pipeline.lookup import labels_of, one_of
from agg2exp_core.store import open_store


def export_matrices(store: str, label: str | None, out: Path) -> Path:
    """Write the local matrices of all scans as a table in the paper's column scheme.

    Raises
    ------
    UsageError
        If the store has no such label, or the file cannot be written.
    """
    opened = open_store(store)
    chosen = one_of("--label", label, labels_of(store, None))
    table = to_table(opened.importance(chosen)).to_csv(index=False)
    with whole_file(out) as partial:
        partial.write_text(table, encoding="utf-8")
    return out
