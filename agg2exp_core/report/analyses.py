"""What the analyses of a store say, as the report takes it: tables and documents by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from agg2exp_core.report.sections import Missing


@dataclass(frozen=True, eq=False)
class Analyses:
    """The files under ``analysis/<label>/`` of a store, as ``docs/analyses.md`` describes them.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        By name, without the extension.
    documents : mapping of str to JSON-ready value
        By name, without the extension; ``summary`` among them once a store was analysed.
    """

    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    documents: Mapping[str, Any] = field(default_factory=dict)

    @property
    def summary(self) -> Mapping[str, Any]:
        """What is said of the analysis as a whole; empty before there is one."""
        summary: Mapping[str, Any] = self.documents.get("summary", {})
        return summary

    def table(self, name: str) -> pd.DataFrame | None:
        """Return a table that has rows, or None."""
        frame = self.tables.get(name)
        return None if frame is None or frame.empty else frame

    def why_missing(self, analysis: str, needs: str = "") -> Missing:
        """Return why an analysis is missing, and the command that makes it."""
        command = f"agg2exp analyse STORE {needs}".rstrip()
        if not self.summary:
            return Missing("the store was not analysed", command)
        if analysis in self.summary.get("skipped", {}):
            return Missing(str(self.summary["skipped"][analysis]))
        if needs:
            return Missing(f"the analysis was made without {needs.split()[0]}", command)
        return Missing("the analysis found nothing")
