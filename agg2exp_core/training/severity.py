"""Dice where something is wrong with a scan: how a model's score falls with the severity of a failure."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from agg2exp_core.datasets import find_cases

NO_FAILURE = "none"
"""What ``meta.csv`` calls a good scan."""


def failures_of(tree: str | Path) -> pd.DataFrame:
    """Return what is wrong with the scans of a tree, as its ``meta.csv`` says.

    Returns
    -------
    DataFrame
        ``failure`` and ``severity`` (0 to 1) by scan; empty if no scan has a failure.

    Raises
    ------
    UsageError
        If `tree` is none.
    """
    told = {
        case.scan_id: [case.metadata.get("failure"), case.metadata.get("severity")]
        for case in find_cases(tree)
    }
    table = pd.DataFrame.from_dict(told, orient="index", columns=["failure", "severity"])
    table["severity"] = pd.to_numeric(table["severity"], errors="coerce")
    table = table.dropna()
    return table if (table["failure"] != NO_FAILURE).any() else table.iloc[:0]


def dice_by_severity(scores: pd.DataFrame, failures: pd.DataFrame) -> pd.DataFrame:
    """Return the mean Dice of the structures for each model and failure by severity.

    Parameters
    ----------
    scores : DataFrame
        Rows by ``model``, ``scan`` and ``class`` with ``dice``.
    failures : DataFrame
        Of `failures_of`; a scan without scores was refused before it reached the model.

    Returns
    -------
    DataFrame
        A row per ``model`` and ``failure``, a column per severity; the column 0 holds the good scans, the
        same in every row of a model. NaN where every scan was refused, or there is none.
    """
    of_scan = scores.pivot_table(index="scan", columns="model", values="dice", sort=False)
    whole = failures.join(of_scan.reindex(failures.index))
    good, failed = whole[whole["failure"] == NO_FAILURE], whole[whole["failure"] != NO_FAILURE]
    parts = {}
    for model in of_scan:
        table = failed.pivot_table(
            index="failure", columns="severity", values=model, sort=False, dropna=False
        )
        table.insert(0, 0.0, good[model].mean())
        parts[model] = table
    return pd.concat(parts, names=["model", "failure"])


def severity_markdown(table: pd.DataFrame, failures: pd.DataFrame) -> str:
    """Return the Dice by severity, in percent, as Markdown; a cell of which no scan is there is empty."""
    planted = set(zip(failures["failure"], failures["severity"], strict=True))
    lines = [
        "| model | failure | " + " | ".join(f"{severity:g}" for severity in table.columns) + " |",
        "|---" * (2 + len(table.columns)) + "|",
    ]
    for (model, failure), row in zip(table.index, table.to_numpy(float), strict=True):
        cells = [
            f"{100 * value:.2f}" if pd.notna(value) else "refused" if (failure, severity) in planted else ""
            for severity, value in zip(table.columns, row, strict=True)
        ]
        lines.append(f"| {model} | {failure} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
