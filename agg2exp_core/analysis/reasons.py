"""Why a scan is abnormal, in plain words: the entries of its matrix that lie furthest from the reference."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import median_abs_deviation

from agg2exp_core.analysis.cohort import Cohort, check_alike, replace_zeros
from agg2exp_core.analysis.statistics import adjusted
from agg2exp_core.labels import readable

_LEAST_SPREAD = np.log(1.1)
"""Of the logarithm of a share: what differs by less than a tenth is alike."""
_LEAST_SHARE = 0.01
"""Now or in the reference: what is always less is no reason, however much it varies."""
_USUAL = 0.95
"""Share of reference scans that have a class whose absence is worth saying."""
REASON_COLUMNS = (
    "scan",
    "class",
    "roi",
    "share",
    "reference_median",
    "reference_q25",
    "reference_q75",
    "deviation",
    "sentence",
)


def reasons(new: Cohort, reference: Cohort, *, n_entries: int = 5) -> pd.DataFrame:
    """Return the entries that lie furthest from the reference, the furthest first, and absent classes.

    The distance is that of the logarithm of the share (floored as `replace_zeros` does) from the reference
    median, in units of the reference's median absolute deviation (scaled to a normal's standard deviation).
    Shares under 1%, in the scan and in the reference, are no reason.

    Parameters
    ----------
    new, reference : Cohort
        Of the same classes.
    n_entries : int
        Entries a scan.

    Returns
    -------
    DataFrame
        A row per entry with `REASON_COLUMNS`. A class that the scan lacks and at least 95% of the reference
        have comes first, with no region and no numbers.
    """
    check_alike(new, reference)
    known = np.isfinite(reference.shares[:, :, 0])  # [n_reference, L]
    some = known.any(axis=0)
    q25, median, q75, centre, spread = (np.full(new.shares.shape[1:], np.nan) for _ in range(5))
    q25[some], median[some], q75[some] = np.nanquantile(reference.shares[:, some], [0.25, 0.5, 0.75], axis=0)
    logs = np.log(replace_zeros(reference.shares[:, some]))
    centre[some] = np.nanmedian(logs, axis=0)
    spread[some] = median_abs_deviation(logs, axis=0, scale="normal", nan_policy="omit")
    z = (np.log(replace_zeros(new.shares)) - centre) / np.maximum(spread, _LEAST_SPREAD)
    z = np.where(np.maximum(np.nan_to_num(new.shares), median) >= _LEAST_SHARE, z, 0.0)
    usual = known.mean(axis=0) >= _USUAL
    rows: list[tuple[object, ...]] = []
    for n, scan in enumerate(new.scans):
        absent = np.flatnonzero(usual & np.isnan(new.shares[n, :, 0]))
        for a in absent:
            sentence = f"{readable(new.targets[a])} was not found in this scan"
            rows.append((scan, new.targets[a], "", *[np.nan] * 5, sentence))
        lacks = [new.rois.index(new.targets[a]) for a in absent if new.targets[a] in new.rois]
        far = np.abs(np.nan_to_num(z[n]))
        far[:, lacks] = 0  # the absent class has its own sentence
        far = far.ravel()
        # stable, so that entries alike come in the order of the matrix
        for entry in np.argsort(-far, kind="stable")[:n_entries]:
            a, b = np.unravel_index(entry, z[n].shape)
            numbers = [float(part[a, b]) for part in (new.shares[n], median, q25, q75)]
            if far[entry] > 0:
                sentence = reason_sentence(new.targets[a], new.rois[b], *numbers)
                rows.append((scan, new.targets[a], new.rois[b], *numbers, z[n, a, b], sentence))
    return pd.DataFrame(rows, columns=list(REASON_COLUMNS))


def reason_sentence(target: str, roi: str, share: float, median: float, q25: float, q75: float) -> str:
    """Return what share of a class's attribution lies where, beside the reference."""
    place = "in the class itself" if roi == target else f"in {readable(roi)}"
    return (
        f"{_percent(share)} of what explains {readable(target)} lies {place}; "
        f"usually {_percent(median)} (middle half {_percent(q25)} to {_percent(q75)})"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2g}%" if share < 0.1 else f"{100 * share:.0f}%"


def training_candidates(outliers: xr.Dataset, why: pd.DataFrame) -> pd.DataFrame:
    """Return the scans worth adding to training data, the most abnormal first, with the reason.

    These are the flagged scans, those of which a single class stays abnormal after Benjamini and Hochberg's
    adjustment over the scan's classes, and those with an unusually uncertain prediction.

    Parameters
    ----------
    outliers : Dataset with dimensions (scan, target)
        As `find_outliers` returns it, with `unsure` (scan) of `find_uncertain`.
    why : DataFrame
        As `reasons` returns it.

    Returns
    -------
    DataFrame
        `scan`, `score`, `p_value`, `classes` (the abnormal ones), `reason`.
    """
    rate = outliers.attrs["rate"]
    rows = []
    for n, scan in enumerate(outliers["scan"].values):
        p_values = adjusted(outliers["p_value"].values[n])
        abnormal = [str(outliers["target"].values[a]) for a in np.flatnonzero(p_values <= rate)]
        uncertain = bool(outliers["unsure"].values[n])
        if abnormal or uncertain or bool(outliers["flagged"].values[n]):
            sentences = why.loc[why["scan"] == scan, "sentence"].head(3).tolist()
            if uncertain:
                sentences.insert(0, "the prediction of this scan is unusually uncertain")
            rows.append(
                {
                    "scan": str(scan),
                    "score": float(outliers["score_all"].values[n]),
                    "p_value": float(outliers["p_all"].values[n]),
                    "classes": ", ".join(abnormal),
                    "reason": "; ".join(sentences),
                }
            )
    frame = pd.DataFrame(rows, columns=["scan", "score", "p_value", "classes", "reason"])
    return frame.sort_values(["p_value", "score", "scan"], ascending=[True, False, True], ignore_index=True)
