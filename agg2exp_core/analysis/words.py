"""What reports say of flagged scans: words that are more frequent there, or less."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import fisher_exact

from agg2exp_core.analysis.statistics import adjusted
from agg2exp_core.errors import UsageError

_WORD = re.compile(r"[^\W\d_]{3,}")
LEAST_REPORTS = 3
"""Reports that must hold a word for it to be tested."""


def words_of(text: str) -> set[str]:
    """Return the different words of at least three letters, in lower case."""
    return set(_WORD.findall(text.lower()))


def compare_words(flagged: Mapping[str, bool], reports: Mapping[str, str]) -> pd.DataFrame:
    """Compare in how many reports each word occurs, among flagged scans and among the others.

    A word counts once a report, so that reports are the sample and not the words.

    Parameters
    ----------
    flagged : mapping of str to bool
        By scan id.
    reports : mapping of str to str
        Texts by scan id; only scans of both count.

    Returns
    -------
    DataFrame
        A row per word, the smallest p-value first: `word`, `n_flagged`, `n_other` (reports that hold it),
        `share_flagged`, `share_other`, `log_odds` (half a report added to each cell), `p_value` (Fisher's
        exact), `p_adjusted` (Benjamini and Hochberg over the words). Empty where one of the groups is.

    Raises
    ------
    UsageError
        If no scan has a report.
    """
    scans = sorted(set(flagged) & set(reports))
    if not scans:
        raise UsageError(
            "--reports",
            got="no scan of the store",
            allowed='a JSON object of scan ids and texts: {"s0001": "..."}',
            remedy="compare the ids with those of `agg2exp export`",
        )
    held = {scan: words_of(reports[scan]) for scan in scans}
    marks = np.array([flagged[scan] for scan in scans])
    rows = []
    for word in sorted(set().union(*held.values())):
        there = np.array([word in held[scan] for scan in scans])
        if there.sum() < LEAST_REPORTS or not 0 < marks.sum() < len(marks):
            continue
        a, b = int((there & marks).sum()), int((there & ~marks).sum())
        c, d = int(marks.sum()) - a, int((~marks).sum()) - b
        rows.append(
            {
                "word": word,
                "n_flagged": a,
                "n_other": b,
                "share_flagged": a / (a + c),
                "share_other": b / (b + d),
                "log_odds": float(np.log((a + 0.5) * (d + 0.5) / ((b + 0.5) * (c + 0.5)))),
                "p_value": float(fisher_exact([[a, b], [c, d]])[1]),
            }
        )
    columns = ["word", "n_flagged", "n_other", "share_flagged", "share_other", "log_odds", "p_value"]
    frame = pd.DataFrame(rows, columns=columns)
    frame["p_adjusted"] = adjusted(frame["p_value"])
    return frame.sort_values(["p_value", "word"], ignore_index=True)
