"""Whether flagged scans differ from the others in what is known of the patients."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from scipy.stats import PermutationMethod, chi2_contingency, fisher_exact, mannwhitneyu, ttest_ind

from agg2exp_core.analysis.statistics import N_PERMUTATIONS, adjusted, no_common_scan
from agg2exp_core.user_tables import dates_of, numbers_of

_EPOCH = pd.Timestamp("1970-01-01")
LEAST_PER_GROUP = 2
MOST_CATEGORIES = 10
"""Of a column that is compared: one with more holds names or texts."""
GROUP_COLUMNS = (
    "column",
    "test",
    "n_flagged",
    "n_other",
    "flagged",
    "other",
    "effect",
    "effect_size",
    "p_value",
)
"""Of the table, beside `p_adjusted`."""


def compare_groups(flagged: Mapping[str, bool], metadata: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Test every column of the metadata for a difference between flagged and other scans.

    Numbers: Mann-Whitney U (effect: rank-biserial correlation, 1 where every flagged scan is higher) and
    Welch's t test (effect: Hedges' g). Categories: Fisher's exact test of two by two (effect: odds ratio,
    half a scan added to each cell), else a chi-square test by permutation (effect: Cramer's V).

    Parameters
    ----------
    flagged : mapping of str to bool
        By scan id.
    metadata : DataFrame
        Indexed by scan id: texts, or numbers. A column of numbers with at most two different ones is one of
        categories. Missing values do not count.
    seed : int
        Of the permutations.

    Returns
    -------
    DataFrame
        A row per column and test: `GROUP_COLUMNS` and `p_adjusted` (Benjamini and Hochberg over the columns,
        for each kind of test). `flagged`, `other` describe the groups. NaN where a group has fewer than 2
        scans or nothing varies.

    Raises
    ------
    UsageError
        If no scan has metadata.

    See Also
    --------
    comparable : What is left out, and why.
    """
    known, _ = comparable(metadata, set(flagged))
    marks = pd.Series(flagged).loc[known.index].astype(bool)
    rows: list[dict[str, object]] = []
    for name, values in known.items():
        given = values.notna()
        inside, outside = values[given & marks], values[given & ~marks]
        shared = {"column": str(name), "n_flagged": len(inside), "n_other": len(outside)}
        tests = _of_numbers if _numeric(values) else _of_categories
        rows += [{**shared, **row} for row in tests(inside, outside, seed)]
    frame = pd.DataFrame(rows, columns=list(GROUP_COLUMNS))
    kind = frame["test"].isin(["Welch t"])
    for part in (kind, ~kind):
        frame.loc[part, "p_adjusted"] = adjusted(frame.loc[part, "p_value"])
    return frame


def comparable(metadata: pd.DataFrame, scans: set[str]) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows of some scans with the columns that can be compared, and what is told of the others.

    A column of texts becomes one of numbers or of dates if it holds nothing else; words stay as they are
    written, None and NA too. One of more than `MOST_CATEGORIES` words may name people: it is left out, and
    its words are told nowhere.

    Raises
    ------
    UsageError
        If none of the scans has metadata.
    """
    known = metadata.loc[sorted(set(metadata.index) & scans)]
    if known.empty:
        raise no_common_scan("--metadata", "a row per scan, with its id in the first column")
    kept, told = {}, []
    for name, cells in known.items():
        values = cells
        if not pd.api.types.is_numeric_dtype(cells):
            read = (reader(cells) for reader in (numbers_of, dates_of))
            values = next((found for found in read if found is not None and found.nunique() > 2), cells)
        n, n_known = values.nunique(), int(values.notna().sum())
        if n < 2:
            told.append(f"column {name} left out: {'the same in all scans' if n else 'empty'}")
        elif not _numeric(values) and n > MOST_CATEGORIES:
            told.append(f"column {name} left out: {n} different words, which may name people")
        else:
            kept[name] = values
            if n_known < len(known):
                told.append(f"column {name}: {len(known) - n_known} of {len(known)} scans without a value")
    return pd.DataFrame(kept, index=known.index), told


def _numeric(values: pd.Series) -> bool:
    is_ordered = pd.api.types.is_numeric_dtype(values) or pd.api.types.is_datetime64_any_dtype(values)
    return bool(is_ordered) and values.nunique() > 2


def _of_numbers(inside: pd.Series, outside: pd.Series, seed: int) -> list[dict[str, object]]:
    is_date = pd.api.types.is_datetime64_any_dtype(inside)
    x, y = ((_days(part) if is_date else part).to_numpy(np.float64) for part in (inside, outside))
    show = _date if is_date else "{:.3g}".format
    tests: list[dict[str, object]] = [
        {
            "test": "Mann-Whitney U",
            "flagged": _spread(x, show),
            "other": _spread(y, show),
            "effect": "rank-biserial",
        },
        {"test": "Welch t", "flagged": _mean(x, show), "other": _mean(y, show), "effect": "Hedges g"},
    ]
    if min(len(x), len(y)) < LEAST_PER_GROUP or np.ptp(np.r_[x, y]) == 0:
        return tests
    u = mannwhitneyu(x, y)
    tests[0] |= {"p_value": float(u.pvalue), "effect_size": 2 * float(u.statistic) / (len(x) * len(y)) - 1}
    n = len(x) + len(y) - 2
    pooled = np.sqrt((x.var(ddof=1) * (len(x) - 1) + y.var(ddof=1) * (len(y) - 1)) / n)
    if pooled > 0:
        # Hedges' correction of Cohen's d, which is too large in small samples
        g = (x.mean() - y.mean()) / pooled * (1 - 3 / (4 * n - 1))
        tests[1] |= {"p_value": float(ttest_ind(x, y, equal_var=False).pvalue), "effect_size": float(g)}
    return tests


def _of_categories(inside: pd.Series, outside: pd.Series, seed: int) -> list[dict[str, object]]:
    marks = np.r_[np.ones(len(inside)), np.zeros(len(outside))]
    table = pd.crosstab(marks, pd.concat([inside, outside]).astype(str).to_numpy())
    counts = table.to_numpy()
    described: dict[str, object] = {"flagged": _counts(inside), "other": _counts(outside)}
    if counts.shape == (2, 2):
        (a, b), (c, d) = counts[::-1] + 0.5  # flagged scans first
        p = float(fisher_exact(counts)[1])
        odds = {"effect": f"odds ratio of {table.columns[0]}", "effect_size": float(a * d / (b * c))}
        return [{"test": "Fisher exact", **described, **odds, "p_value": p}]
    row: dict[str, object] = {"test": "chi-square", **described, "effect": "Cramer V"}
    if counts.shape[0] == 2 and counts.shape[1] > 2:
        method = PermutationMethod(n_resamples=N_PERMUTATIONS, rng=np.random.default_rng(seed))
        found = chi2_contingency(counts, correction=False, method=method)
        row |= {"p_value": float(found.pvalue), "effect_size": float(np.sqrt(found.statistic / counts.sum()))}
    return [row]


def _days(dates: pd.Series) -> pd.Series:
    return (dates - _EPOCH) / pd.Timedelta(days=1)


def _date(days: float) -> str:
    return f"{_EPOCH + pd.Timedelta(days=round(days)):%Y-%m-%d}"


def _spread(x: np.ndarray, show: Callable[[float], str]) -> str:
    if not len(x):
        return "none"
    q25, median, q75 = map(show, np.quantile(x, [0.25, 0.5, 0.75]))
    return f"median {median} ({q25} to {q75})"


def _mean(x: np.ndarray, show: Callable[[float], str]) -> str:
    if len(x) < LEAST_PER_GROUP:
        return "too few"
    return f"mean {show(x.mean())}, SD {x.std(ddof=1):.3g}{' days' if show is _date else ''}"


def _counts(values: pd.Series) -> str:
    return ", ".join(f"{name}: {n}" for name, n in values.astype(str).value_counts().sort_index().items())
