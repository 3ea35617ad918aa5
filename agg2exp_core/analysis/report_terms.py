"""Terms that reports of flagged scans hold more often than those of the others, or less often."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import fisher_exact

from agg2exp_core.analysis.statistics import adjusted, no_common_scan

_TERM = re.compile(r"[^\W\d_]{3,}")
LEAST_REPORTS = 3
"""Reports that must hold a term for it to be tested."""


def terms_of(text: str) -> set[str]:
    """Return the different terms of a text: words of at least three letters, in lower case."""
    return set(_TERM.findall(text.lower()))


def compare_terms(flagged: Mapping[str, bool], reports: Mapping[str, str]) -> pd.DataFrame:
    """Compare in how many reports each term occurs, among flagged scans and among the others.

    A term counts once a report, so that reports are the sample and not the terms.

    Parameters
    ----------
    flagged : mapping of str to bool
        By scan id.
    reports : mapping of str to str
        Texts by scan id; only scans of both count.

    Returns
    -------
    DataFrame
        A row per term, the smallest p-value first: `word`, `n_flagged`, `n_other` (reports that hold it),
        `share_flagged`, `share_other`, `log_odds` (half a report added to each cell), `p_value` (Fisher's
        exact), `p_adjusted` (Benjamini and Hochberg over the terms). Empty where one of the groups is.

    Raises
    ------
    UsageError
        If no scan has a report.
    """
    scans = sorted(set(flagged) & set(reports))
    if not scans:
        raise no_common_scan("--reports", 'a JSON object of scan ids and texts: {"s0001": "..."}')
    held = {scan: terms_of(reports[scan]) for scan in scans}
    marks = np.array([flagged[scan] for scan in scans])
    rows = []
    for term in sorted(set().union(*held.values())):
        present = np.array([term in held[scan] for scan in scans])
        if present.sum() < LEAST_REPORTS or not 0 < marks.sum() < len(marks):
            continue
        a, b = int((present & marks).sum()), int((present & ~marks).sum())
        c, d = int(marks.sum()) - a, int((~marks).sum()) - b
        rows.append(
            {
                "word": term,
                "n_flagged": a,
                "n_other": b,
                "share_flagged": a / (a + c),
                "share_other": b / (b + d),
                # half a report in each cell (Haldane, Anscombe): finite where one cell is empty
                "log_odds": float(np.log((a + 0.5) * (d + 0.5) / ((b + 0.5) * (c + 0.5)))),
                "p_value": float(fisher_exact([[a, b], [c, d]])[1]),
            }
        )
    columns = ["word", "n_flagged", "n_other", "share_flagged", "share_other", "log_odds", "p_value"]
    frame = pd.DataFrame(rows, columns=columns)
    frame["p_adjusted"] = adjusted(frame["p_value"])
    return frame.sort_values(["p_value", "word"], ignore_index=True)
